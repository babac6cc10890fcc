"""Cards that a test declares: a driver library of their own, in which a card can be lost while it is used."""

from __future__ import annotations

import os
from pathlib import Path

LIBRARY = '''\
"""Stands in for the NVIDIA driver's library: one card, FAKE_CARD, whose state lies as files in FAKE_CARDS."""

import os
from pathlib import Path
from types import SimpleNamespace

CARD, STATE = os.environ["FAKE_CARD"], Path(os.environ["FAKE_CARDS"])
NVML_CLOCK_MEM, NVML_CLOCK_SM, NVML_TEMPERATURE_GPU = 2, 1, 0
nvmlEventTypeXidCriticalError = 8
seen = set(STATE.glob(f"{CARD}.xid-*"))


class NVMLError(Exception):
    pass


def refuse(*arguments):
    raise NVMLError("Not Supported")


def nothing(*arguments):
    return "card"


def memory(handle):
    if (STATE / f"{CARD}.lost").exists():
        raise NVMLError("GPU is lost")
    return SimpleNamespace(total=8 << 30, used=0, free=8 << 30)


def wait(events, milliseconds):
    for path in STATE.glob(f"{CARD}.xid-*"):
        if path not in seen:
            seen.add(path)
            return SimpleNamespace(eventData=int(path.suffix.removeprefix(".xid-")))
    raise NVMLError("Timeout")


nvmlInit = nvmlShutdown = nvmlDeviceGetHandleByIndex = nvmlDeviceGetHandleByUUID = nothing
nvmlEventSetCreate = nvmlDeviceRegisterEvents = nothing
nvmlDeviceGetNumGpuCores = nvmlDeviceGetMemoryBusWidth = nvmlDeviceGetMaxClockInfo = refuse
nvmlDeviceGetMemoryInfo, nvmlEventSetWait_v2 = memory, wait


def nvmlSystemGetDriverVersion():
    return "0.0"


def nvmlDeviceGetCount():
    return 1


def nvmlDeviceGetName(handle):
    return "Fake RTX 4060"


def nvmlDeviceGetUUID(handle):
    return f"GPU-{CARD}"


def nvmlDeviceGetCudaComputeCapability(handle):
    return 8, 9
'''


class FakeCards:
    """The library and the cards' state."""

    def __init__(self, folder: Path) -> None:
        self._library, self._state = folder / "library", folder / "state"
        self._library.mkdir(parents=True)
        self._state.mkdir()
        (self._library / "pynvml.py").write_text(LIBRARY)

    def environment(self, card: str) -> dict[str, str]:
        """For a node with this card."""
        path = os.pathsep.join(filter(None, [str(self._library), os.environ.get("PYTHONPATH", "")]))
        return {"PYTHONPATH": path, "FAKE_CARD": card, "FAKE_CARDS": str(self._state)}

    def lose(self, card: str) -> None:
        """The driver does not find it any more."""
        (self._state / f"{card}.lost").touch()

    def find(self, card: str) -> None:
        """It is back."""
        (self._state / f"{card}.lost").unlink()

    def report(self, card: str, xid: int) -> None:
        """The driver reports an error."""
        (self._state / f"{card}.xid-{xid}").touch()
