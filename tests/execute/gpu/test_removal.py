"""What programs leave behind is removed, whatever it is."""

from __future__ import annotations

import os
from pathlib import Path

from orchestrator.execute.gpu.executor import GpuExecutor
from orchestrator.execute.gpu.removal import remove_tree


def nest(top: Path, levels: int) -> None:
    """Make a folder in a folder, and a file in each, so many times."""
    fd = os.open(top, os.O_RDONLY)
    for _ in range(levels):
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
        os.mkdir("d" * 100, dir_fd=fd)
        below = os.open("d" * 100, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)


def test_folders_deeper_than_a_stack_a_path_and_a_table_of_files(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    nest(top, 3000)
    before = set(os.listdir("/proc/self/fd"))
    remove_tree(top)
    assert not list(tmp_path.iterdir())
    assert set(os.listdir("/proc/self/fd")) <= before


def test_rights_that_were_taken_away(tmp_path: Path) -> None:
    inner = tmp_path / "top" / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "file").write_text("x")
    for folder in (inner, inner.parent, inner.parent.parent):
        folder.chmod(0)
    remove_tree(tmp_path / "top")
    assert not list(tmp_path.iterdir())


def test_links_are_removed_and_not_followed(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    kept.chmod(0o750)
    (kept / "file").write_text("x")
    top = tmp_path / "top"
    (top / "a").mkdir(parents=True)
    for link in (top / "link", top / "a" / "link"):
        link.symlink_to(kept)
    (top / "nowhere").symlink_to("missing")
    os.mkfifo(top / "a" / "pipe")
    (tmp_path / "other").symlink_to(kept)
    remove_tree(top)
    remove_tree(tmp_path / "other")
    assert not top.exists()
    assert (kept / "file").read_text() == "x"
    assert kept.stat().st_mode & 0o777 == 0o750


def test_a_folder_that_is_gone_is_nothing_to_remove(tmp_path: Path) -> None:
    remove_tree(tmp_path / "gone")
    assert not list(tmp_path.iterdir())


def test_names_that_are_no_text(tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path / "top") + b"/\xff\n"
    os.makedirs(odd + b"/\xfe")
    remove_tree(tmp_path / "top")
    assert not list(tmp_path.iterdir())


def test_an_ended_process_is_forgotten_whatever_it_left(executor: GpuExecutor) -> None:
    family = executor.session.family
    bounds = executor.session.bounds()
    child = family.spawn("candidate", "bare", {"device": "cpu"}, bounds)
    nest(child.folder / "scratch", 1500)
    family.end(child, "not needed")
    assert not child.folder.exists()
