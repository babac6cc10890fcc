"""Starting Ray on this machine, or joining a cluster that runs."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from orchestrator.cluster.shipping import Shipment, pack, shipped_by_the_job

__all__ = ["ClusterError", "ClusterSettings", "check_there", "check_token", "start_ray", "stop_ray"]

OBJECT_STORE_BYTES: Final = 256 << 20
"""Problems and recordings only: results are small records and tensors never enter the store."""

CONNECT_S: Final = 5.0


class ClusterError(Exception):
    """The cluster is not there, or is not what was asked for. One sentence for people."""


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """What to start or join."""

    address: str | None
    """None: start Ray here."""
    num_cpus: int | None
    insecure: bool
    labels: Mapping[str, str] = field(default_factory=dict)
    """Of this machine, where Ray is started here."""
    ship: bool = False
    """Give this process's sources to the nodes that are joined."""


def start_ray(settings: ClusterSettings) -> Shipment | None:
    """Start Ray here, or join the cluster at ``settings.address``.

    Returns what was given to the nodes of a cluster; None where nothing was.

    Raises:
        ClusterError: there is no cluster at the address, it does not let us in, or Ray does not start.
    """
    # No figure of a user's sweep goes to anyone that was not named.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # CPU actors empty CUDA_VISIBLE_DEVICES themselves; this silences Ray's note on the change of its default.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    options: dict[str, Any] = {
        "log_to_driver": False,
        "logging_level": logging.ERROR,
        "configure_logging": True,
        "namespace": f"orchestrator-{os.getpid()}",
    }
    if settings.address is None:
        options |= {
            # Without it Ray would join whatever cluster was last started on this machine.
            "address": "local",
            "num_cpus": settings.num_cpus,
            "labels": dict(settings.labels) or None,
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE_BYTES,
        }
        # An address in the environment would silently join somebody's cluster.
        os.environ.pop("RAY_ADDRESS", None)
    else:
        options["address"] = settings.address
        check_token(settings)
        check_there(settings.address)
    with TemporaryDirectory(prefix="orchestrator-ship-") as folder:
        shipment = None
        if settings.ship and settings.address is not None and not shipped_by_the_job():
            shipment = pack(Path(folder))
            options["runtime_env"] = {"working_dir": str(shipment.path)}
        _init(settings, options)
    return shipment


def _init(settings: ClusterSettings, options: dict[str, Any]) -> None:
    import ray

    try:
        ray.init(**options)
    except ConnectionError as error:
        raise _no_cluster(settings.address) from error
    except Exception as error:
        # Ray raises bare Exception, for instance when its processes start too slowly on a busy machine.
        line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        where = "on this machine" if settings.address is None else f"at cluster.address={settings.address}"
        raise ClusterError(f"Ray could not be started {where}: {line}") from error


def check_token(settings: ClusterSettings) -> None:
    """Refuse a shared cluster without token authentication.

    Raises:
        ClusterError: no token is configured and ``cluster.insecure`` is not set.
    """
    token = os.environ.get("RAY_AUTH_MODE", "").lower() == "token"
    if not token and not settings.insecure:
        raise ClusterError(
            f"cluster.address={settings.address} without token authentication would let anyone who reaches the"
            " cluster run code on it; set RAY_AUTH_MODE=token on every node, or say cluster.insecure=true"
        )


def check_there(address: str) -> None:
    """Refuse an address where nobody listens: Ray itself would try for minutes.

    Raises:
        ClusterError: no connection within :data:`CONNECT_S` seconds.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_S).close()
    except OSError as error:
        raise _no_cluster(address) from error


def _no_cluster(address: str | None) -> ClusterError:
    return ClusterError(
        f"cluster.address={address} has no Ray cluster; start one with `ray start --head`,"
        " or leave the key out to run on this machine"
    )


def stop_ray() -> None:
    """Leave the cluster; end it where it was started here."""
    if "ray" not in sys.modules:
        # Loading it takes seconds, and a run may end before it needs it.
        return
    import ray

    if ray.is_initialized():
        ray.shutdown()
