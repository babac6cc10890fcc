import os
import signal
from pathlib import Path

import pytest

from orchestrator.execute.sandbox import landlock
from orchestrator.execute.sandbox.process import no_new_privileges
from tests.execute.sandbox.confined import in_child

needs_landlock = pytest.mark.skipif(landlock.abi() == 0, reason="this kernel has no Landlock")


def tries(*attempts: object) -> list[str]:
    """What each attempt came to: ``ok`` or the name of the error."""
    found = []
    for attempt in attempts:
        try:
            attempt()  # type: ignore[operator]
            found.append("ok")
        except OSError as error:
            found.append(type(error).__name__)
    return found


@needs_landlock
def test_only_what_is_listed_can_be_reached(tmp_path: Path) -> None:
    for name in ("read", "write", "other", "named"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("content")

    def confined() -> list[str]:
        rules = landlock.ruleset(
            read=[str(tmp_path / "read")],
            write=[str(tmp_path / "write")],
            listed=[str(tmp_path / "named")],
            devices=["/dev/null"],
        )
        no_new_privileges()
        landlock.restrict_self(rules)
        return tries(
            (tmp_path / "read/file").read_text,
            lambda: (tmp_path / "read/file").write_text("x"),
            lambda: (tmp_path / "write/new").write_text("x"),
            (tmp_path / "write/new").unlink,
            lambda: os.mkfifo(tmp_path / "write/pipe"),
            (tmp_path / "other/file").read_text,
            lambda: os.listdir(tmp_path / "named"),
            (tmp_path / "named/file").read_text,
            lambda: open("/dev/null", "w").close(),
            lambda: os.listdir("/"),
        )

    no = "PermissionError"
    assert in_child(confined) == str(["ok", no, "ok", "ok", "ok", no, "ok", no, "ok", no])


@needs_landlock
@pytest.mark.skipif(landlock.abi() < landlock.SCOPES_ABI, reason="this Landlock does not scope signals")
@pytest.mark.parametrize("make", [landlock.scope_ruleset, landlock.ruleset])
def test_signals_stay_inside_the_domain(make: object) -> None:
    outsider = os.fork()
    if outsider == 0:
        signal.pause()

    def confined() -> list[str]:
        no_new_privileges()
        landlock.restrict_self(make())  # type: ignore[operator]
        own = os.fork()
        if own == 0:
            signal.pause()
        found = tries(lambda: os.kill(outsider, signal.SIGKILL), lambda: os.kill(own, signal.SIGKILL))
        os.waitpid(own, 0)
        return found

    try:
        assert in_child(confined) == "['PermissionError', 'ok']"
    finally:
        os.kill(outsider, signal.SIGKILL)
        os.waitpid(outsider, 0)


def test_expand_leaves_out_what_is_hidden(tmp_path: Path) -> None:
    for path in ("a/b/hidden/secret", "a/b/shown", "a/c", "d"):
        (tmp_path / path).mkdir(parents=True)
    (tmp_path / "a/link").symlink_to(tmp_path / "a/b/hidden")
    found = landlock.expand([str(tmp_path / "a"), str(tmp_path / "d")], [str(tmp_path / "a/b/hidden")])
    assert found == [str(tmp_path / p) for p in ("a/b/shown", "a/c", "d")]


def test_expand_of_a_hidden_root_is_nothing(tmp_path: Path) -> None:
    assert landlock.expand([str(tmp_path)], [str(tmp_path)]) == []


@needs_landlock
def test_missing_paths_are_left_out(tmp_path: Path) -> None:
    os.close(landlock.ruleset(read=[str(tmp_path / "not there")]))
