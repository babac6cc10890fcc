import os
from pathlib import Path

from orchestrator.execute.sandbox.cleanup import empty_folder


def test_everything_goes_and_nothing_outside(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    scratch = tmp_path / "scratch"
    (scratch / "a/b/c").mkdir(parents=True)
    (scratch / "a/b/file").write_text("x")
    (scratch / "link").symlink_to(outside)
    (scratch / "a/link").symlink_to(outside)
    os.mkfifo(scratch / "a/pipe")
    (scratch / "a/b").chmod(0)
    (scratch / "sealed").mkdir(mode=0)
    empty_folder(str(scratch))
    assert os.listdir(scratch) == []
    assert (outside / "kept").exists()


def test_depth_beyond_every_path_limit(tmp_path: Path) -> None:
    depth = 600
    at = os.open(tmp_path, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d" * 20, dir_fd=at)
        inner = os.open("d" * 20, os.O_RDONLY | os.O_DIRECTORY, dir_fd=at)
        os.close(at)
        at = inner
    os.close(at)
    empty_folder(str(tmp_path))
    assert os.listdir(tmp_path) == []
