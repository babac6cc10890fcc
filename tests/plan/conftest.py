from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def somewhere_without_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test plans in an empty folder of its own, as a user without an API key."""
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
