"""Whether the servers of a plan's open-weights models are there, asked before anything else is started."""

from __future__ import annotations

from typing import Final

from orchestrator.plan.model import Plan

__all__ = ["LocalServerMissing", "check_local_servers"]

ANSWERS_S: Final = 5.0
"""A server that loads a model still takes connections; one that is not there refuses at once."""


class LocalServerMissing(OSError):
    """Nobody listens where a local model should be; the message says what to start."""


def check_local_servers(plan: Plan) -> None:
    """Knock at every ``model.base_url`` of kind ``local``.

    On a cluster nothing is asked: an address is then the generating nodes', where the senders ask themselves.

    Raises:
        LocalServerMissing: for the first that does not answer.
    """
    if plan.config.cluster.address is not None or plan.regrade is not None:
        return
    import httpx2

    models = [cell.config.model for cell in plan.cells if cell.generates and cell.config.model.kind == "local"]
    for name, url in dict.fromkeys((model.name, str(model.base_url)) for model in models):
        try:
            # Any answer will do: what is at the root differs from server to server.
            httpx2.get(url, timeout=ANSWERS_S)
        except (httpx2.ConnectError, httpx2.ConnectTimeout):
            raise LocalServerMissing(
                f"model={name} has no server at {url}: start one that speaks the Messages API there, e.g."
                " 'llama-server -m MODEL.gguf --port 8080', vLLM or Ollama, or give the address of yours with"
                " model.base_url=URL"
            ) from None
        except httpx2.HTTPError:
            continue
