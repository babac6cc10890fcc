from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_a_wheel_ships_the_configuration_and_runs_from_any_folder(tmp_path: Path) -> None:
    # Without a build environment of its own where the builder is there already: then no network is needed.
    here = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", *here, "--wheel-dir", str(tmp_path), str(ROOT)],
        check=True,
        capture_output=True,
        timeout=280,
    )
    (wheel,) = tmp_path.glob("orchestrator-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "unpacked")
    ours = {f"orchestrator/conf/{file.relative_to(ROOT / 'conf')}" for file in (ROOT / "conf").rglob("*.yaml")}
    assert ours <= names
    assert not [name for name in names if name.startswith(("conf/", "tests/"))]
    entry = next(name for name in names if name.endswith(".dist-info/entry_points.txt"))
    assert "orchestrator = orchestrator.__main__:main" in (tmp_path / "unpacked" / entry).read_text()

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = {key: value for key, value in os.environ.items() if key != "ANTHROPIC_API_KEY"}
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", "+sweep=smoke", "plan=true"],
        cwd=elsewhere,
        env={**environment, "PYTHONPATH": str(tmp_path / "unpacked")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "3 cells, 15 trials" in done.stdout
    assert list(elsewhere.iterdir()) == []
