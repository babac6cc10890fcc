"""A loopback server of the Messages API that answers with reference programs: a sweep without a model."""

from __future__ import annotations

from orchestrator.generate.rehearsal.counts import ServerCounts
from orchestrator.generate.rehearsal.draws import RequestId
from orchestrator.generate.rehearsal.problems import write_problems
from orchestrator.generate.rehearsal.process import RehearsalServer, RehearsalServerError
from orchestrator.generate.rehearsal.settings import FaultShares, RehearsalSettings, ServerLimits

__all__ = [
    "FaultShares",
    "RehearsalServer",
    "RehearsalServerError",
    "RehearsalSettings",
    "RequestId",
    "ServerCounts",
    "ServerLimits",
    "write_problems",
]
