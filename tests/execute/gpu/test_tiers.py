"""What isolation is found, and when it is too little."""

from __future__ import annotations

import pytest

from orchestrator.execute.gpu.tiers import IsolationMissing, describe, refused


def report(spaces: str = "", root: str = "", missing: tuple[str, ...] = ()) -> dict:
    return {"tiers": {"root": root, "spaces": spaces, "bare": ""}, "missing": list(missing)}


def test_all_that_there_is_is_full() -> None:
    assert refused("full", report()) == {"root": "", "spaces": "", "bare": ""}
    assert describe("full", report(), "root", report()["tiers"]) == "full"


def test_what_is_missing_is_said() -> None:
    found = refused("partial", report(spaces="EPERM", root="EPERM"))
    assert describe("partial", report(), "bare", found) == "partial (no namespaces: EPERM)"
    assert describe("none", report(missing=("Landlock",)), "root", found) == "partial (no Landlock)"
    assert "no private file tree" in describe("none", report(), "spaces", found)


@pytest.mark.parametrize(
    ("required", "found"),
    [
        ("full", report(spaces="EPERM", root="EPERM")),
        ("full", report(missing=("Landlock",))),
        ("partial", report(missing=("seccomp",))),
        ("partial", report(spaces="EPERM", root="EPERM", missing=("Landlock",))),
    ],
)
def test_too_little_is_refused(required: str, found: dict) -> None:
    with pytest.raises(IsolationMissing):
        refused(required, found)


def test_full_is_not_had_by_a_weaker_tier() -> None:
    with pytest.raises(IsolationMissing, match="found partial"):
        describe("full", report(), "spaces", {"root": "no mount", "spaces": "", "bare": ""})
