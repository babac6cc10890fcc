from __future__ import annotations

from typing import Any

import pytest

from orchestrator.config.keys import field_type, known_keys, plain_type, section, takes_text


def test_every_key_is_known_by_its_dotted_name() -> None:
    keys = known_keys()
    assert {"samples", "model.effort", "model.price.input_per_mtok", "execute.limits.cpu_s", "hardware.labels"} <= {
        *keys
    }
    assert "model" not in keys
    assert "model.price" not in keys


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("samples", "a whole number or null"),
        ("generate.stream", "true or false"),
        ("problems", "a list [a,b] or null"),
        ("hardware.labels", "a mapping {a:b}"),
        ("hardware.labels.gpu-class", "text"),
        ("budget.usd", "a number or null"),
    ],
)
def test_types_in_plain_words(key: str, words: str) -> None:
    assert plain_type(field_type(key)) == words


def test_what_is_no_key_has_no_type() -> None:
    assert field_type("sampels") is None
    assert field_type("model.efort") is None


def test_sections_and_texts() -> None:
    assert section("execute.limits")
    assert not section("samples")
    assert takes_text("run.dir")
    assert takes_text("suite.name")
    assert not takes_text("samples")
    annotation: Any = field_type("execute.limits.cpu_s")
    assert plain_type(annotation) == "a number or null"
