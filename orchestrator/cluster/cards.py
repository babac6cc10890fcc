"""The cards of this machine, and whether they are what a hardware class says."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

__all__ = ["LocalCard", "card_fits", "local_cards", "local_labels", "why_no_card"]


@dataclass(frozen=True, slots=True)
class LocalCard:
    """A card as its driver names it."""

    name: str
    memory_bytes: int
    driver: str
    uuid: str = ""


def local_cards() -> tuple[LocalCard, ...]:
    """The NVIDIA cards of this machine that answer; none where there is no driver. Creates no CUDA context."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    try:
        driver = str(pynvml.nvmlSystemGetDriverVersion())
        found = []
        for index in range(pynvml.nvmlDeviceGetCount()):
            # A card that is lost answers nothing; its slot says so, and the others are of use.
            with contextlib.suppress(pynvml.NVMLError):
                handle = pynvml.nvmlDeviceGetHandleByIndex(index)
                found.append(
                    LocalCard(
                        str(pynvml.nvmlDeviceGetName(handle)),
                        int(pynvml.nvmlDeviceGetMemoryInfo(handle).total),
                        driver,
                        str(pynvml.nvmlDeviceGetUUID(handle)),
                    )
                )
        return tuple(found)
    except pynvml.NVMLError:
        return ()
    finally:
        pynvml.nvmlShutdown()


def why_no_card() -> str:
    """Why Ray, started on this machine, would have no GPU to give; empty where it has one."""
    import pynvml

    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "NoDevFiles"):
        return "CUDA_VISIBLE_DEVICES hides all of its cards"
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return f"its NVIDIA driver does not answer: {error}"
    try:
        return "" if pynvml.nvmlDeviceGetCount() else "its NVIDIA driver knows of none"
    except pynvml.NVMLError as error:
        return f"its NVIDIA driver does not answer: {error}"
    finally:
        pynvml.nvmlShutdown()


def local_labels(wanted: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Labels for a Ray that is started on this machine alone: those that the plan's hardware asks for.

    On one machine nobody else could give them. Where two classes ask for different values of one label the machine
    can be only one of them, so that label is not given and the cluster is refused with what was asked.
    """
    found: dict[str, set[str]] = {}
    for labels in wanted:
        for key, value in labels.items():
            found.setdefault(key, set()).add(value)
    return {key: next(iter(values)) for key, values in found.items() if len(values) == 1}


def card_fits(hardware: str, card: str) -> bool:
    """Whether a card's name is that of a hardware class: ``rtx4060`` and ``NVIDIA GeForce RTX 4060``.

    A trailing memory size (``rtx4060ti16``) is not part of the name. Classes that name no card (``gpu``) fit all.
    """
    if not re.search(r"\d", hardware):
        return True
    words = re.findall(r"[a-z0-9]+", card.lower())
    wanted = {hardware.lower(), re.sub(r"(?<=ti)\d+$", "", hardware.lower())}
    for start in range(len(words)):
        for end in range(start + 1, len(words) + 1):
            after = words[end] if end < len(words) else ""
            if "".join(words[start:end]) in wanted and after not in ("ti", "super"):
                return True
    return False
