"""Ray started here carries the labels asked for; a cluster of others is not joined without a token."""

from __future__ import annotations

import pytest

from orchestrator.cluster.capacity import Demand, list_nodes, share_out
from orchestrator.cluster.session import ClusterError, ClusterSettings, check_token, start_ray, stop_ray


def test_a_ray_started_here_has_the_labels_and_nothing_else_joins_it() -> None:
    start_ray(ClusterSettings(None, 1, insecure=False, labels={"gpu-class": "rtx4060"}))
    try:
        (node,) = list_nodes()
        assert node.own_labels == {"gpu-class": "rtx4060"}
        assert (node.cpus, node.draining) == (1, False)
        cpu = Demand("rtx4060:cpu", "rtx4060", False, {"gpu-class": "rtx4060"})
        other = Demand("l4:cpu", "l4", False, {"gpu-class": "l4"})
        assert share_out([cpu, other], [node]) == {"rtx4060:cpu": 1, "l4:cpu": 0}
    finally:
        stop_ray()


@pytest.mark.parametrize(("mode", "insecure"), [("token", False), ("TOKEN", False), ("disabled", True)])
def test_a_token_or_a_word_lets_us_join(mode: str, insecure: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", mode)
    check_token(ClusterSettings("10.0.0.1:6379", None, insecure))


def test_without_either_it_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with pytest.raises(ClusterError, match=r"RAY_AUTH_MODE=token.*cluster\.insecure=true"):
        check_token(ClusterSettings("10.0.0.1:6379", None, insecure=False))
