"""What a candidate gives up once it is armed, and before it is timed."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from orchestrator.execute.gpu import confine
from tests.execute.sandbox.confined import in_child


def tried(work: Callable[[], object]) -> str:
    try:
        work()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "done"


def doors() -> list[str]:
    return [
        tried(lambda: socket.socket(socket.AF_UNIX).close()),
        tried(lambda: os.close(os.memfd_create("file"))),
        tried(process),
    ]


def process() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def test_threads_that_were_there_before_lose_what_the_caller_loses(tmp_path: Path) -> None:
    folder, root_at = tmp_path / "scratch", tmp_path / "root"
    folder.mkdir()
    root_at.mkdir()

    def candidate() -> list[list[str]]:
        confine.confine("bare", confine.Bounds(folder=str(folder), root_at=str(root_at)))
        with ThreadPoolExecutor(1) as driver:
            found = [driver.submit(doors).result()]
            confine.close_doors()
            found += [doors(), driver.submit(doors).result()]
            confine.seal()
            return [*found, doors(), driver.submit(doors).result()]

    closed, sealed = ["EACCES", "EACCES", "done"], ["EACCES", "EACCES", "EPERM"]
    assert in_child(candidate) == str([["done"] * 3, closed, closed, sealed, sealed])


def test_a_machine_that_refuses_them_is_found_out_before_anything_runs(tmp_path: Path) -> None:
    bounds = confine.Bounds(folder=str(tmp_path), root_at=str(tmp_path))

    def refusing() -> str:
        rules = confine.seccomp.FilterBuilder()
        rules.deny(["seccomp"], errno.EPERM)
        confine.no_new_privileges()
        confine.seccomp.install(rules.build())
        return confine.probe("bare", bounds)

    assert in_child(lambda: confine.probe("bare", bounds)) == ""
    assert "Operation not permitted" in in_child(refusing)
