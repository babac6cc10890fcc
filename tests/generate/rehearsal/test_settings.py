from __future__ import annotations

from typing import Any

import pytest

from orchestrator.config.schema import FaultsConfig, RehearsalConfig, ServerLimitsConfig
from orchestrator.generate.rehearsal.settings import FaultShares, RehearsalSettings, ServerLimits


def test_the_configuration_is_carried_over_whole() -> None:
    config = RehearsalConfig(
        broken_share=0.3,
        mend_share=0.4,
        latency_low_s=1.0,
        latency_high_s=8.0,
        faults=FaultsConfig(0.01, 0.02, 0.03, 0.04, 0.05),
        limits=ServerLimitsConfig(4000, 2_000_000, 400_000),
        log="log.jsonl",
    )
    settings = RehearsalSettings.from_config(config, seed=7, problems="p.jsonl", stall_s=5.0)
    assert settings == RehearsalSettings(
        problems="p.jsonl",
        seed=7,
        broken_share=0.3,
        mend_share=0.4,
        latency_low_s=1.0,
        latency_high_s=8.0,
        faults=FaultShares(0.01, 0.02, 0.03, 0.04, 0.05),
        limits=ServerLimits(4000, 2_000_000, 400_000),
        stall_s=5.0,
        log="log.jsonl",
    )
    config.seed = 9
    assert RehearsalSettings.from_config(config, seed=7, problems="").seed == 9


def test_settings_cross_as_json() -> None:
    settings = RehearsalSettings(
        problems="ä.jsonl", faults=FaultShares(dropped=0.5), limits=ServerLimits(10), known_models=("a", "b")
    )
    assert RehearsalSettings.from_json(settings.to_json()) == settings
    assert RehearsalSettings.from_json("{}") == RehearsalSettings()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"broken_share": 1.5}, "broken_share"),
        ({"mend_share": -0.1}, "mend_share"),
        ({"endless_share": 0.02}, "endless_share"),
        ({"faults": FaultShares(dropped=2.0)}, "faults.dropped"),
        ({"faults": FaultShares(0.5, 0.5, 0.5)}, "add up"),
        ({"latency_low_s": 2.0, "latency_high_s": 1.0}, "latency"),
        ({"latency_high_s": float("inf")}, "latency"),
        ({"limits": ServerLimits(requests_per_minute=0)}, "requests_per_minute"),
        ({"limits": ServerLimits(bucket_s=0)}, "bucket_s"),
        ({"chunk_characters": 0}, "chunk_characters"),
        ({"refuse": "everything"}, "refuse"),
        ({"batch_expired_share": 0.6, "batch_errored_share": 0.6}, "batch"),
    ],
)
def test_values_without_sense_are_named(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        RehearsalSettings(**fields)


@pytest.mark.parametrize("text", ["", "[]", '{"sed": 1}', '{"faults": {"lost": 0.1}}', '{"limits": 3}'])
def test_json_of_another_shape_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        RehearsalSettings.from_json(text)


def test_the_digest_follows_what_is_said_and_not_when() -> None:
    plain = RehearsalSettings()
    assert plain.answer_digest() == RehearsalSettings(latency_high_s=9.0, stall_s=1.0).answer_digest()
    assert plain.answer_digest() != RehearsalSettings(seed=1).answer_digest()
    assert plain.answer_digest() != RehearsalSettings(mend_share=0.5).answer_digest()
