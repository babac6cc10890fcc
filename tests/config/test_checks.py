from __future__ import annotations

from typing import Any

import pytest

from orchestrator.config.checks import check_secrets, check_together, check_values, value_of
from orchestrator.config.compose import Composer
from orchestrator.config.errors import ConfigError
from orchestrator.config.groups import conf_dir
from orchestrator.config.schema import Config

COMPOSER = Composer([conf_dir()], None)


def compose(groups: dict[str, str] | None = None, **fields: Any) -> Config:
    return COMPOSER.compose(groups or {}, {key.replace("__", "."): value for key, value in fields.items()})


def test_the_defaults_are_right() -> None:
    config = compose()
    check_values(config)
    check_together(config)
    assert value_of(config, "model.price.input_per_mtok") is None


@pytest.mark.parametrize(
    ("key", "value", "fragment"),
    [
        ("samples", 0, "1 or more"),
        ("turns", 0, "1 or more"),
        ("limit", -3, "1 or more"),
        ("budget.usd", -1, "0 or more"),
        ("budget.usd", float("nan"), "0 or more"),
        ("budget.usd", float("inf"), "no finite number"),
        ("rates.usd_per_kwh", float("nan"), "no finite number"),
        ("seed", -1, "0 or more"),
        ("generate.deadline_s", 0, "above 0"),
        ("execute.limits.cpu_s", 0, "above 0"),
        ("rehearsal.broken_share", 1.5, "0 to 1"),
        ("rates.utilisation", 0, "above 0"),
        ("model.effort", "hihg", "did you mean high?"),
        ("model.thinking", "on", "adaptive"),
        ("feedback", "orcale", "did you mean oracle?"),
        ("cache", "reed", "did you mean read?"),
        ("display", "fancy", "plain"),
        ("preflight", "never", "only"),
        ("isolation.require", "total", "partial"),
        ("execute.device", "cuda", "gpu"),
        ("execute.tools", ["ncu", "nsys"], "sanitizer and ncu only"),
        ("generate.mode", "batches", "did you mean batch?"),
        ("suite.dtype", "fp8", "fp64"),
        ("suite.level", 4, "1, 2, 3"),
        ("tracking.uri", "mlruns", "sqlite:///"),
        ("tracking.uri", "htp://host", "https://"),
        ("tracking.uri", "https://me:secret@host", "MLFLOW_TRACKING_PASSWORD"),
        ("run.results_uri", "results", "s3://"),
        ("model.base_url", "localhost:8080", "http://"),
        ("prompt.first", "no place for it", "{prompt}"),
        ("prompt.first", "{prompt} {tests}", "{tests}"),
        ("prompt.repair", "{feedback", "template"),
        ("prompt.first", "{prompt:{x}}", "write {prompt}, without ':{x}'"),
        ("prompt.first", "{prompt:abc}", "write {prompt}, without ':abc'"),
        ("prompt.first", "{prompt!z}", "write {prompt}, without '!z'"),
        ("prompt.first", "{prompt:>99999999999}", "write {prompt}, without ':>99999999999'"),
        ("prompt.repair", "{feedback!r:>9}", "write {feedback}, without '!r:>9'"),
        ("tracking.uri", "http://[", "http://[::1]:5000"),
        ("tracking.uri", "postgresql://[", "names no host"),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_key(key: str, value: Any, fragment: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_values(COMPOSER.compose({}, {key: value}))
    assert str(caught.value).startswith(key)
    assert fragment in str(caught.value)


@pytest.mark.parametrize(
    "uri", ["sqlite:////tmp/x.db", "https://host", "postgresql+psycopg2://h/db", "databricks:x"]
)
def test_tracking_uris_that_mlflow_takes(uri: str) -> None:
    check_values(compose(tracking__uri=uri))


@pytest.mark.parametrize(
    ("groups", "fields", "fragment"),
    [
        ({"suite": "mbpp"}, {}, "suite.path=FILE"),
        ({}, {"suite.dtype": "fp32"}, "suite=gpu only"),
        ({"suite": "gpu"}, {"execute.device": "cpu", "suite.dialect": "cuda"}, "suite.dialect=torch"),
        ({}, {"rehearsal.latency_low_s": 2.0}, "rehearsal.latency_high_s"),
        ({}, {"rehearsal.faults.dropped": 0.6, "rehearsal.faults.stalled": 0.6}, "at most 1"),
        ({}, {"cluster.address": "auto", "cluster.num_cpus": 2}, "cluster.address"),
        ({"model": "samples"}, {}, "model.path=FILE.jsonl"),
        ({"model": "samples"}, {"model.path": "x", "model.effort": "low"}, "model.effort=low"),
        ({}, {"model.path": "x"}, "model=samples only"),
        ({}, {"model.id": None}, "model.id"),
        ({"model": "local"}, {"model.base_url": None}, "model.base_url"),
        ({}, {"model.key_file": "/no/such/key"}, "model.key_file=/no/such/key"),
        ({}, {"model.usd_per_gpu_hour": 1.0}, "model.usd_per_gpu_hour"),
        ({}, {"model.slots": 4}, "model.slots"),
        ({"model": "local"}, {"generate.mode": "batch"}, "generate.mode=batch"),
        ({"model": "local"}, {"model.price.input_per_mtok": 1.0}, "model.usd_per_gpu_hour"),
    ],
)
def test_keys_that_do_not_fit_each_other(groups: dict[str, str], fields: dict[str, Any], fragment: str) -> None:
    config = COMPOSER.compose(groups, fields)
    check_values(config)
    with pytest.raises(ConfigError) as caught:
        check_together(config)
    assert fragment in str(caught.value)


def test_a_system_that_asks_no_model_does_not_mind_which() -> None:
    check_together(compose({"model": "samples", "system": "execute_only"}))


def test_an_api_key_in_the_configuration_is_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    secret = "sk-ant-api03-abcdefghijklmnop"
    with pytest.raises(ConfigError) as caught:
        check_secrets(compose(model__key_file=secret), ())
    assert secret not in str(caught.value)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "another-form-of-key")
    with pytest.raises(ConfigError, match="API key"):
        check_secrets(compose(), ("prompt.system=another-form-of-key",))
    check_secrets(compose(model__key_file="/run/secrets/key"), ("model.key_file=/run/secrets/key",))
