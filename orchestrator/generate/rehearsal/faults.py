"""Which HTTP tries are spoiled, and how."""

from __future__ import annotations

from typing import Literal

from orchestrator.generate.rehearsal.draws import RequestId, draw
from orchestrator.generate.rehearsal.errors import ApiError
from orchestrator.generate.rehearsal.settings import RehearsalSettings

__all__ = ["Interruption", "interruption", "raise_injected", "raise_refusal"]

Interruption = Literal["dropped", "stalled", "stream_error"]


def _point(settings: RehearsalSettings, model: str, who: RequestId) -> float:
    return draw(settings.seed, model, who.step, who.attempt, "fault")


def raise_injected(settings: RehearsalSettings, model: str, who: RequestId) -> None:
    """Refuse this try if its share falls to an error.

    Raises:
        ApiError: 429 with ``retry-after``, 529 or 500.
    """
    point = _point(settings, model, who)
    faults = settings.faults
    if point < faults.rate_limited:
        raise ApiError(
            429,
            "This request would exceed your organization's acceleration limit. Please try again later.",
            "rate_limited",
            headers={"retry-after": f"{settings.retry_after_s:g}"},
        )
    point -= faults.rate_limited
    if point < faults.overloaded:
        raise ApiError(529, "Overloaded", "overloaded")
    point -= faults.overloaded
    if point < faults.server_error:
        raise ApiError(500, "Internal server error", "server_error")


def interruption(settings: RehearsalSettings, model: str, who: RequestId, *, streamed: bool) -> Interruption | None:
    """Whether this try's reply is cut, falls silent or fails on its way."""
    faults = settings.faults
    point = _point(settings, model, who) - faults.rate_limited - faults.overloaded - faults.server_error
    if 0 <= point < faults.dropped:
        return "dropped"
    point -= faults.dropped
    if 0 <= point < faults.stalled:
        return "stalled"
    if streamed and 0 <= point - faults.stalled < faults.stream_error:
        return "stream_error"
    return None


def raise_refusal(settings: RehearsalSettings, served: int) -> None:
    """Refuse every request from the one after ``refuse_after`` on, if so set.

    Args:
        settings: the settings.
        served: requests that came before this one.

    Raises:
        ApiError: 401, 403 or 400.
    """
    if settings.refuse == "none" or served < settings.refuse_after:
        return
    if settings.refuse == "authentication":
        raise ApiError(401, "invalid x-api-key", "authentication")
    if settings.refuse == "permission":
        raise ApiError(403, "Your API key does not have permission to use the specified resource.", "permission")
    if settings.refuse == "spend_limit":
        raise ApiError(
            400,
            "You have reached your specified API usage limits. You will regain access next month.",
            "spend_limit",
            error_code="enforced_spend_limit_reached",
        )
    raise ApiError(400, "The rehearsal refuses every request.", "bad_request")
