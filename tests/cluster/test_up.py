"""Bring-up with stand-ins for the providers' commands: what runs already is listed, and nothing starts unasked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from scripts.cluster import up
from scripts.cluster.up import Machine, end_machines, load, machines_of, main, resolve_images

INSTANCE = {
    "InstanceId": "i-0abc",
    "InstanceType": "g6.xlarge",
    "LaunchTime": "2026-01-01T10:00:00+00:00",
    "Placement": {"AvailabilityZone": "us-east-1b"},
}
AWS = f"""\
#!/bin/bash
echo "aws $*" >> "$CALLS"
case "$1 $2" in
    "ec2 describe-instances") echo '{json.dumps({"Reservations": [{"Instances": [INSTANCE]}]})}' ;;
    "ssm get-parameter") echo '{{"Parameter": {{"Value": "ami-0123"}}}}' ;;
esac
"""
VM = {
    "name": "ray-x-worker",
    "machineType": "https://compute/v1/projects/p/machineTypes/g2-standard-4",
    "creationTimestamp": "2026-01-01T10:00:00",
    "zone": "https://compute/v1/projects/p/zones/us-central1-a",
}
GCLOUD = f"""\
#!/bin/bash
echo "gcloud $*" >> "$CALLS"
case "$2 $3" in
    "instances list") echo '{json.dumps([VM])}' ;;
    "images describe-from-family") echo '{{"selfLink": "https://compute/v1/projects/u/global/images/i-7"}}' ;;
esac
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Providers with one machine each; the file that their calls are written to."""
    for name, text in (("aws", AWS), ("gcloud", GCLOUD)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "calls"


def provider(name: str) -> dict[str, Any]:
    found: dict[str, Any] = {**load(name)["provider"], "project_id": "p"}
    return found


def test_machines_are_found_by_their_owner(calls: Path) -> None:
    assert machines_of(provider("aws.yaml"), "me") == [
        Machine("i-0abc", "g6.xlarge", "2026-01-01T10:00:00+00:00", "us-east-1b")
    ]
    assert machines_of(provider("gcp.yaml"), "me") == [
        Machine("ray-x-worker", "g2-standard-4", "2026-01-01T10:00:00", "us-central1-a")
    ]
    asked = calls.read_text()
    assert "Name=tag:orchestrator-owner,Values=me" in asked
    assert "--filter=labels.orchestrator-owner=me" in asked
    # A stopped machine still pays for its disk.
    assert "stopped" in asked


def test_they_are_ended_for_good(calls: Path) -> None:
    end_machines(provider("aws.yaml"), machines_of(provider("aws.yaml"), "me"))
    end_machines(provider("gcp.yaml"), machines_of(provider("gcp.yaml"), "me"))
    asked = calls.read_text()
    assert "ec2 terminate-instances --region us-east-1 --instance-ids i-0abc" in asked
    assert "instances delete ray-x-worker --zone us-central1-a --quiet --project p" in asked


def test_image_names_become_ids_before_anything_starts(calls: Path) -> None:
    aws = resolve_images(load("aws.yaml"))
    assert {kind["node_config"]["ImageId"] for kind in aws["available_node_types"].values()} == {"ami-0123"}
    google = resolve_images(load("gcp.yaml"))
    for kind in google["available_node_types"].values():
        image = kind["node_config"]["disks"][0]["initializeParams"]["sourceImage"]
        assert image == "projects/u/global/images/i-7"


def test_listing_starts_nothing(calls: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["aws.yaml", "--owner", "Me", "--list"]) == 0
    assert "i-0abc  g6.xlarge  since 2026-01-01" in capsys.readouterr().out
    assert "Values=me" in calls.read_text()
    assert len(calls.read_text().splitlines()) == 1


def test_beside_machines_that_run_nothing_starts_unasked(
    calls: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    questions: list[str] = []

    def no(question: str) -> bool:
        questions.append(question)
        return False

    monkeypatch.setattr(up, "asked", no)
    assert main(["aws.yaml", "--owner", "me"]) == 1
    assert questions == ["End these 1 machines first?", "Start more beside them?"]
    assert len(calls.read_text().splitlines()) == 1
    assert list(Path.cwd().glob("*.rendered.yaml")) == []


@pytest.mark.parametrize("hours", ["0", "25", "-1"])
def test_a_deadline_must_be_within_a_day(hours: str, calls: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["aws.yaml", f"--hours={hours}"])
    assert "at most 24" in capsys.readouterr().err
    assert not calls.exists()
