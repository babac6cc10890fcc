"""Refuses values and combinations that cannot work, before anything is spent.

:func:`check_values` looks at one key at a time, :func:`check_together` at keys that must fit each other. Both say
the first thing that is wrong in one sentence.
"""

from __future__ import annotations

import math
import os
import re
import string
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

from orchestrator.config.errors import ConfigError, did_you_mean, show
from orchestrator.config.paths import absolute
from orchestrator.config.schema import Config
from orchestrator.core.uris import without_password

__all__ = ["SUITE_NEEDS_PATH", "check_secrets", "check_together", "check_values", "value_of"]

_DIALECTS: Final = ("torch", "cupy", "triton", "cuda", "cudf")
_DTYPES: Final = ("fp64", "fp32", "bf16", "fp16")

_CHOICES: Final[dict[str, tuple[Any, ...]]] = {
    "model.kind": ("anthropic", "rehearsal", "samples", "local"),
    # What the Messages API takes in output_config.effort.
    "model.effort": (None, "low", "medium", "high", "xhigh", "max"),
    "model.thinking": (None, "adaptive", "disabled"),
    "system.name": ("generate_only", "execute_only", "hybrid"),
    "suite.dtype": (None, *_DTYPES),
    "suite.dialect": (None, *_DIALECTS),
    "suite.level": (None, 1, 2, 3),
    "hardware.device": ("cpu", "gpu"),
    "rates.mode": ("auto", "rented", "owned"),
    "execute.device": ("auto", "cpu", "gpu"),
    "execute.without_gpu": ("refuse", "cpu"),
    "generate.mode": ("messages", "batch"),
    "isolation.require": ("full", "partial", "none"),
    "feedback": ("public", "oracle"),
    "preflight": ("on", "only", "off"),
    "cache": ("off", "read", "write", "readwrite"),
    "display": ("auto", "rich", "plain"),
}

_AT_LEAST_ONE: Final = (
    "samples",
    "turns",
    "limit",
    "model.max_tokens",
    "model.slots",
    "suite.max_tokens",
    "execute.slots",
    "execute.spares",
    "execute.attempts",
    "execute.limits.memory_bytes",
    "generate.actors",
    "generate.in_flight",
    "cluster.num_cpus",
    "hardware.memory_bytes",
    "rehearsal.limits.requests_per_minute",
    "rehearsal.limits.input_tokens_per_minute",
    "rehearsal.limits.output_tokens_per_minute",
)
_ABOVE_ZERO: Final = (
    "execute.limits.cpu_s",
    "execute.limits.wall_s",
    "generate.deadline_s",
    "generate.batch_poll_s",
    "rates.useful_years",
    "rates.problems_per_month",
)
_NOT_NEGATIVE: Final = (
    "budget.usd",
    "budget.cell_usd",
    "budget.trial_usd",
    "seed",
    "rehearsal.seed",
    "generate.retries",
    "generate.run_retries",
    "execute.limits.output_bytes",
    "tracking.traces",
    "model.usd_per_gpu_hour",
    "model.price.input_per_mtok",
    "model.price.output_per_mtok",
    "model.price.cache_read_per_mtok",
    "model.price.cache_write_per_mtok",
    "hardware.purchase_usd",
    "hardware.resale_usd",
    "hardware.rent_usd_per_hour",
    "hardware.power_w",
    "rates.usd_per_kwh",
    "rehearsal.latency_low_s",
    "rehearsal.latency_high_s",
)
_SHARES: Final = (
    "rehearsal.broken_share",
    "rehearsal.mend_share",
    "rehearsal.faults.rate_limited",
    "rehearsal.faults.overloaded",
    "rehearsal.faults.server_error",
    "rehearsal.faults.dropped",
    "rehearsal.faults.stalled",
)

_TRACKING_SCHEMES: Final = ("sqlite", "postgresql", "mysql", "mssql", "http", "https", "file", "databricks")
_PLACEHOLDERS: Final = {
    "prompt.system": (),
    "prompt.first": ("prompt", "entry_point", "dialect", "hardware", "processor"),
    "prompt.repair": ("feedback", "processor"),
}
_TOOLS: Final = ("sanitizer", "ncu")
SUITE_NEEDS_PATH: Final = ("humaneval_plus", "mbpp", "custom")
_SECRET: Final = re.compile(r"sk-ant-[A-Za-z0-9_-]{8,}")


def value_of(config: Config, key: str) -> Any:
    """The value of a dotted key; None below a section that is null."""
    node: Any = config
    for name in key.split("."):
        if node is None:
            return None
        node = node[name] if isinstance(node, dict) else getattr(node, name)
    return node


def check_values(config: Config) -> None:
    """Refuse a value that is out of its key's range.

    Raises:
        ConfigError: for the first such key.
    """
    for key, known in _CHOICES.items():
        value = value_of(config, key)
        if value not in known:
            names = [show(choice) for choice in known]
            raise ConfigError(
                f"{key}={show(value)} must be one of {', '.join(names)}{did_you_mean(show(value), names, most=0)}"
            )
    _check_range(config, _AT_LEAST_ONE, "a whole number, 1 or more", lambda value: value >= 1)
    _check_range(config, _ABOVE_ZERO, "a number above 0", lambda value: value > 0)
    _check_range(config, _NOT_NEGATIVE, "0 or more", lambda value: value >= 0)
    _check_range(config, _SHARES, "a share from 0 to 1", lambda value: 0 <= value <= 1)
    _check_range(config, ("rates.utilisation",), "a share above 0, at most 1", lambda value: 0 < value <= 1)
    unknown = [tool for tool in config.execute.tools if tool not in _TOOLS]
    if unknown:
        raise ConfigError(f"execute.tools={show(config.execute.tools)} may hold {' and '.join(_TOOLS)} only")
    for key, allowed in _PLACEHOLDERS.items():
        _check_template(key, value_of(config, key), allowed)
    if config.tracking.uri is not None:
        scheme, colon, _ = config.tracking.uri.partition(":")
        if not colon or scheme.partition("+")[0] not in _TRACKING_SCHEMES:
            raise ConfigError(
                f"tracking.uri={show(without_password(config.tracking.uri))} must start with sqlite:///, http:// "
                f"or https:// (or {', '.join(_TRACKING_SCHEMES[1:4])}, file, databricks)"
            )
        try:
            host = urlsplit(config.tracking.uri).netloc
        except ValueError:
            raise ConfigError(
                f"tracking.uri={show(without_password(config.tracking.uri))} names no host; write it like "
                "http://127.0.0.1:5000 or http://[::1]:5000"
            ) from None
        if scheme.startswith("http") and "@" in host:
            raise ConfigError(
                "tracking.uri holds a password, and configurations are written to files: set "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD in the environment instead"
            )
    if config.run.results_uri is not None and "://" not in config.run.results_uri:
        raise ConfigError(
            f"run.results_uri={show(config.run.results_uri)} must be a URI such as s3://bucket/path or "
            "file:///path; run.dir takes a plain folder"
        )
    if config.run.results_uri is not None and without_password(config.run.results_uri) != config.run.results_uri:
        raise ConfigError(
            "run.results_uri holds a password, and configurations are written to files: set the store's own "
            "variables in the environment instead (AWS_ACCESS_KEY_ID and so on)"
        )
    if config.model.base_url is not None and not config.model.base_url.startswith(("http://", "https://")):
        raise ConfigError(f"model.base_url={show(config.model.base_url)} must start with http:// or https://")


def check_together(config: Config) -> None:
    """Refuse keys of one cell that do not fit each other.

    Raises:
        ConfigError: for the first such pair.
    """
    suite, model = config.suite, config.model
    if suite.name in SUITE_NEEDS_PATH and suite.path is None:
        raise ConfigError(f"suite={suite.name} needs suite.path=FILE, its problems as a JSONL file")
    for key, value in (("dtype", suite.dtype), ("dialect", suite.dialect), ("level", suite.level)):
        if value is not None and suite.name != "gpu":
            raise ConfigError(f"suite.{key}={show(value)} is for suite=gpu only, not for suite={suite.name}")
    if suite.name == "gpu" and config.execute.device == "cpu" and suite.dialect not in (None, "torch"):
        raise ConfigError(
            f"suite.dialect={suite.dialect} needs a GPU, but execute.device=cpu; use suite.dialect=torch "
            "or execute.device=gpu"
        )
    if suite.dialect == "cudf" and config.system.name != "execute_only":
        raise ConfigError(
            f"suite.dialect=cudf has reference programs only, for system=execute_only, not for "
            f"system={config.system.name}"
        )
    if config.rehearsal.latency_low_s > config.rehearsal.latency_high_s:
        raise ConfigError(
            f"rehearsal.latency_low_s={config.rehearsal.latency_low_s} must not be above "
            f"rehearsal.latency_high_s={config.rehearsal.latency_high_s}"
        )
    faults = config.rehearsal.faults
    total = faults.rate_limited + faults.overloaded + faults.server_error + faults.dropped + faults.stalled
    if total > 1:
        raise ConfigError(f"the shares under rehearsal.faults add up to {total:g}; together they must be at most 1")
    if config.cluster.address is not None and config.cluster.num_cpus is not None:
        raise ConfigError("cluster.num_cpus is for a Ray started here; it has no meaning beside cluster.address")
    if config.system.name != "execute_only":
        _check_model(config)
    if model.price is not None and model.kind in ("samples", "local"):
        instead = "; set model.usd_per_gpu_hour" if model.kind == "local" else ""
        raise ConfigError(f"model.price has no meaning for kind {model.kind}{instead}")


def check_secrets(config: Config, words: tuple[str, ...]) -> None:
    """Refuse an API key in the configuration: it would be written to the run's files.

    Raises:
        ConfigError: without repeating the key.
    """
    key = os.environ.get("ANTHROPIC_API_KEY", "").strip()
    for text in (*words, *_texts(config)):
        if _SECRET.search(text) or (len(key) >= 12 and key in text):
            raise ConfigError(
                "the configuration holds an API key, and configurations are written to files: set "
                "ANTHROPIC_API_KEY in the environment, or model.key_file to a file that holds it"
            )


def _check_model(config: Config) -> None:
    model = config.model
    if model.kind == "samples":
        if model.path is None:
            raise ConfigError(f"model={model.name} needs model.path=FILE.jsonl, the answers to grade")
        for key, value in (("effort", model.effort), ("thinking", model.thinking), ("base_url", model.base_url)):
            if value is not None:
                raise ConfigError(f"model.{key}={show(value)} has no meaning for answers from a file; leave it out")
    elif model.path is not None:
        raise ConfigError(f"model.path={show(model.path)} is for model=samples only, not for model={model.name}")
    elif model.id is None:
        raise ConfigError(f"model={model.name} needs model.id, the model's name at the API")
    if (
        model.kind == "anthropic"
        and model.key_file is not None
        and config.cluster.address is None
        and not os.access(absolute(model.key_file, "model.key_file"), os.R_OK)
    ):
        # On a cluster the file lies on the generating nodes, where only they can look.
        raise ConfigError(f"model.key_file={model.key_file} is not there or cannot be read")
    if model.kind == "local" and model.base_url is None:
        raise ConfigError(f"model={model.name} needs model.base_url, e.g. model.base_url=http://127.0.0.1:8080")
    if model.kind != "local" and (model.usd_per_gpu_hour is not None or model.slots is not None):
        key = "usd_per_gpu_hour" if model.usd_per_gpu_hour is not None else "slots"
        raise ConfigError(f"model.{key} is for models of kind local only, and model={model.name} is {model.kind}")
    if config.generate.mode == "batch" and model.kind in ("samples", "local"):
        raise ConfigError(f"generate.mode=batch needs the Anthropic API, and model={model.name} is {model.kind}")


def _check_range(config: Config, keys: tuple[str, ...], wanted: str, good: Callable[[Any], bool]) -> None:
    for key in keys:
        value = value_of(config, key)
        if value is None:
            continue
        if not math.isfinite(value):
            raise ConfigError(f"{key}={show(value)} is no finite number; it must be {wanted}")
        if not good(value):
            raise ConfigError(f"{key}={show(value)} must be {wanted}")


def _check_template(key: str, text: str, allowed: tuple[str, ...]) -> None:
    if not allowed:
        # Nothing but {processor} is filled into the system prompt, so other braces in it mean nothing.
        return
    try:
        fields = [field[1:] for field in string.Formatter().parse(text) if field[1] is not None]
    except ValueError as error:
        raise ConfigError(f"{key} is no template ({error}); write {{{{ and }}}} for plain braces") from None
    for name, layout, conversion in fields:
        if name not in allowed:
            raise ConfigError(
                f"{key} holds {{{name}}}; it may hold {', '.join('{' + each + '}' for each in allowed)}"
            )
        if layout or conversion:
            # A format may itself hold braces, fail, or ask for more memory than there is.
            given = f"!{conversion}" * bool(conversion) + f":{layout}" * bool(layout)
            raise ConfigError(f"{key} holds {{{name}{given}}}; write {{{name}}}, without {given!r}")
    if allowed[0] not in (name for name, _, _ in fields):
        raise ConfigError(f"{key} must hold {{{allowed[0]}}}, or the model would not see it")


def _texts(node: Any) -> list[str]:
    if isinstance(node, str):
        return [node]
    if isinstance(node, dict):
        return [text for value in node.values() for text in _texts(value)]
    if isinstance(node, list):
        return [text for value in node for text in _texts(value)]
    if hasattr(node, "__dataclass_fields__"):
        return [text for name in node.__dataclass_fields__ for text in _texts(getattr(node, name))]
    return []
