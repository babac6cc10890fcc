"""A loopback server of the Messages API that answers with reference programs: a sweep without a model.

Who asks is told to the server, and to no other, as ``str(RequestId(problem, sample, turn, attempt))``: in the
header ``x-rehearsal-id`` of a message, and in ``params.metadata.user_id`` of each entry of a Message Batch. Usage::

    write_problems(path, suite.problems)
    settings = RehearsalSettings.from_config(config.rehearsal, seed=config.seed, problems=path)
    with RehearsalServer(settings) as server:
        client = AsyncAnthropic(api_key="any", base_url=server.base_url)
"""

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
