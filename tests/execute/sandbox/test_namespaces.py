import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.execute.sandbox import capabilities, namespaces, process


def given() -> bool:
    """Whether this machine gives namespaces, tried in a fork."""
    pid = os.fork()
    if pid == 0:
        try:
            child = namespaces.enter(namespaces.ALL, os.getuid() or 700000001, os.getgid() or 700000001)
        except OSError:
            os._exit(1)
        if child == 0:
            os._exit(0)
        os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


pytestmark = pytest.mark.skipif(not given(), reason="this machine refuses namespaces")


def inside(tmp_path: Path, **more: object) -> list[str]:
    """Enter a private root and report from there, line by line."""
    ordinary = os.getuid() or 700000001
    read, write = os.pipe()
    at = tmp_path / "root"
    at.mkdir()
    tmp_path.chmod(0o755)
    pid = namespaces.enter(namespaces.ALL, ordinary, ordinary if os.getuid() == 0 else os.getgid())
    if pid == 0:
        try:
            root = namespaces.Root(at=str(at), uid=ordinary, gid=ordinary, scratch="/box", **more)  # type: ignore[arg-type]
            namespaces.private_root(root)
            if os.getuid() != ordinary:
                process.become(ordinary, ordinary)
            capabilities.drop_all()
            lines = [
                f"user {os.getuid() == ordinary}",
                f"pid {os.getpid()}",
                f"root {sorted(os.listdir('/'))}",
                f"interfaces {[name for _, name in socket.if_nameindex()]}",
                f"capabilities {capabilities.effective()}",
            ]
            for path in ("/box/file", "/file", f"{tmp_path}/shown/file", f"{tmp_path}/shown/packages/file"):
                try:
                    Path(path).write_text("x")
                    lines.append(f"wrote {path}")
                except OSError as error:
                    lines.append(f"{type(error).__name__} {path}")
            packages = tmp_path / "shown/packages"
            lines += [f"packages {sorted(os.listdir(packages))}"] if packages.exists() else []
            text = "\n".join(lines)
        except BaseException as error:  # noqa: BLE001 - the fork must not go on as the test.
            text = repr(error)
        os.write(write, text.encode())
        os._exit(0)
    os.close(write)
    os.waitpid(pid, 0)
    with open(read, encoding="utf-8") as said:
        return said.read().splitlines()


def test_a_private_root_shows_only_its_list(tmp_path: Path) -> None:
    packages = tmp_path / "shown/packages"
    for name in ("answers", "numpy"):
        (packages / name).mkdir(parents=True)
    found = inside(
        tmp_path,
        read=[str(tmp_path / "shown")],
        hidden=[str(packages)],
        shown=[str(packages / "numpy")],
        devices=["/dev/null"],
    )
    top = sorted({"box", "dev", "proc", tmp_path.parts[1]})
    assert found == [
        "user True",
        "pid 1",
        f"root {top}",
        "interfaces ['lo']",
        "capabilities 0",
        "wrote /box/file",
        "OSError /file",
        f"OSError {tmp_path}/shown/file",
        f"OSError {packages}/file",
        "packages ['numpy']",
    ]
    assert not (tmp_path / "shown/file").exists()


def test_the_scratch_space_has_its_size(tmp_path: Path) -> None:
    script = f"""
import os, sys
sys.path.insert(0, {os.getcwd()!r})
from orchestrator.execute.sandbox import namespaces, process
user = os.getuid() or 700000001
pid = namespaces.enter(namespaces.ALL, user, user if os.getuid() == 0 else os.getgid())
if pid == 0:
    namespaces.private_root(namespaces.Root(at={str(tmp_path)!r}, read=[], scratch="/box", scratch_bytes=1 << 20,
        uid=user, gid=user))
    if os.getuid() != user:
        process.become(user, user)
    try:
        with open("/box/big", "wb", buffering=0) as big:
            for _ in range(3):
                big.write(bytes(1 << 19))
            os._exit(0)
    except OSError as error:
        os._exit(error.errno)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    # No space left on device, by number.
    assert done.stdout.strip() == "28", done.stderr
