"""Whether there is an API key, and what answers where there is none."""

from __future__ import annotations

import dataclasses
import os

from orchestrator.config.schema import Config

__all__ = ["api_key_known", "with_stand_in"]


def api_key_known() -> bool:
    """Whether the environment holds an API key."""
    return bool(os.environ.get("ANTHROPIC_API_KEY", "").strip())


def with_stand_in(config: Config) -> Config:
    """Rehearsal in the place of a model that needs a key where there is none; the model keeps its name."""
    model = config.model
    if model.kind != "anthropic" or model.key_file is not None or api_key_known():
        return config
    return dataclasses.replace(config, model=dataclasses.replace(model, kind="rehearsal"))
