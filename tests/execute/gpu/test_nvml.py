"""Which card is meant."""

from __future__ import annotations

import pytest

from orchestrator.execute.gpu.nvml import first_visible


@pytest.mark.parametrize(
    ("visible", "first"),
    [(None, "0"), ("", "0"), ("1", "1"), ("2,0", "2"), ("GPU-5a1c, 1", "GPU-5a1c")],
)
def test_the_first_visible_card_is_meant(visible: str | None, first: str) -> None:
    assert first_visible(visible) == first
