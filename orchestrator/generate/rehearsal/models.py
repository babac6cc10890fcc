"""The models endpoint."""

from __future__ import annotations

from typing import Any

from orchestrator.generate.rehearsal.errors import ApiError
from orchestrator.generate.rehearsal.settings import RehearsalSettings

__all__ = ["describe_model", "list_models"]

_SHOWN = ("claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5")
"""What is listed where every model is known."""


def describe_model(settings: RehearsalSettings, model: str) -> dict[str, Any]:
    """The ModelInfo object.

    Raises:
        ApiError: 404 for an unknown model.
    """
    if settings.known_models is not None and model not in settings.known_models:
        raise ApiError(404, f"model: {model}", "unknown_model")
    yes = {"supported": True}
    no = {"supported": False}
    lines = [line for line in ("haiku", "sonnet", "opus", "fable", "mythos") if line in model]
    return {
        "type": "model",
        "id": model,
        "display_name": f"{model} (rehearsal)",
        "created_at": "1970-01-01T00:00:00Z",
        "deprecated_at": None,
        "retires_at": None,
        "lifecycle": "active",
        "line": lines[0] if lines else None,
        "max_input_tokens": 200_000,
        "max_tokens": 64_000,
        "capabilities": {
            "batch": yes,
            "citations": no,
            "code_execution": no,
            "context_management": no,
            "effort": {"supported": True, "low": yes, "medium": yes, "high": yes, "xhigh": yes, "max": yes},
            "image_input": no,
            "pdf_input": no,
            "server_tools": {"supported": False, "code_execution": no, "web_search": no},
            "structured_outputs": no,
            "thinking": {
                "supported": True,
                "types": {"adaptive": yes, "between_tools": yes, "disabled": yes, "enabled": yes},
            },
        },
    }


def list_models(settings: RehearsalSettings) -> dict[str, Any]:
    """The list, on one page."""
    shown = settings.known_models if settings.known_models is not None else _SHOWN
    return {
        "data": [describe_model(settings, model) for model in shown],
        "has_more": False,
        "first_id": shown[0] if shown else None,
        "last_id": shown[-1] if shown else None,
    }
