"""A cluster with token authentication, joined with its token, with another, and with none."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.driver.commands import Ended, end

from .networks import HEAD, PORT, Link, can_make_networks, end_with_children, line_of
from .nodes import wait_for

TOKEN = "a-token-of-this-test-and-nothing-else"


@pytest.fixture
def link(tmp_path: Path) -> Iterator[Link]:
    """A network of its own with a head that asks for a token."""
    if not can_make_networks():
        pytest.skip("needs root and iproute2 to make network namespaces")
    made = Link()
    with contextlib.ExitStack() as stack:
        stack.callback(made.down)
        made.up()
        words = ("--head", f"--port={PORT}", f"--node-ip-address={HEAD}", "--include-dashboard=false")
        more = ("--num-cpus=1", "--block", "--object-store-memory=80000000")
        secret = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
        ray = ("ray.scripts.scripts", "start")
        process = made.start(made.head, *ray, *words, *more, folder=tmp_path, environment=secret)
        stack.callback(end_with_children, process)
        wait_for(lambda: "Ray runtime started" in line_of(process), "Ray started", 120)
        yield made


def join(link: Link, folder: Path, *words: str, **environment: str) -> Ended:
    """Join from the head's side of the network."""
    joining = ("cluster=address", f"cluster.address={HEAD}:{PORT}", "preflight=only", "model=rehearsal", "limit=1")
    return end(link.start(link.head, "orchestrator", *joining, *words, folder=folder, environment=environment))


@pytest.mark.slow
def test_only_the_token_lets_anybody_in(link: Link, tmp_path: Path) -> None:
    ended = join(link, tmp_path, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=TOKEN)
    assert ended.code == 0, ended.out + ended.err
    assert "preflight: ready" in ended.out
    assert TOKEN not in ended.out + ended.err
    for environment in (
        {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "another-token"},
        {"RAY_AUTH_MODE": "disabled"},
    ):
        refused = join(link, tmp_path, "cluster.insecure=true", **environment)
        assert refused.code == 1, refused.out + refused.err
        assert f"cluster.address={HEAD}:{PORT}" in refused.out
        assert "Traceback" not in refused.err
        assert TOKEN not in refused.out + refused.err
