"""Brings up a rented cluster that ends by itself: owner, deadline and pinned versions on every machine.

    python -m scripts.cluster.up aws.yaml --hours 4
    python -m scripts.cluster.up gcp.yaml --project PROJECT --hours 4
    python -m scripts.cluster.up aws.yaml --list

Before anything is started it lists machines of the same owner and offers to end them: what somebody forgot is what
costs most. ``--dry-run`` prints the file that Ray would be given, checked, and starts nothing.
"""

from __future__ import annotations

import argparse
import getpass
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

__all__ = ["Machine", "end_machines", "machines_of", "main", "render"]

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parents[1]
TAG: Final = "orchestrator-owner"
TOKEN: Final = Path("~/.ray/auth_token")
REMOTE: Final = "~/orchestrator-node"
RAY: Final = (sys.executable, "-m", "ray.scripts.scripts")
"""Ray's command of this very installation: what runs on the nodes must be of the same version."""
IDLE_MINUTES: Final = 30
"""A machine that no sweep used for so long ends itself."""
MOST_HOURS: Final = 24.0


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine that somebody pays for."""

    id: str
    kind: str
    since: str
    place: str


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="aws.yaml, gcp.yaml, or a file of your own like them")
    parser.add_argument("--hours", type=float, default=4.0, help="until every machine ends, whatever happens")
    parser.add_argument("--owner", default=getpass.getuser())
    parser.add_argument("--project", help="of Google Cloud")
    parser.add_argument("--region", help="another than the file's")
    parser.add_argument("--list", action="store_true", help="list machines of this owner and stop")
    parser.add_argument("--dry-run", action="store_true", help="print the checked file and stop")
    given = parser.parse_args(argv)
    if not 0 < given.hours <= MOST_HOURS:
        parser.error(f"--hours={given.hours:g} must be above 0 and at most {MOST_HOURS:g}")
    owner = re.sub(r"[^a-z0-9-]", "-", given.owner.lower())

    config = load(given.file)
    provider = config["provider"]
    if given.region:
        provider["region"] = given.region
        provider["availability_zone"] = f"{given.region}a" if provider["type"] == "aws" else f"{given.region}-a"
    if given.project:
        provider["project_id"] = given.project
    if provider["type"] == "gcp" and not provider["project_id"] and not given.dry_run:
        parser.error("Google Cloud needs --project")

    if given.dry_run:
        checked(render(config, owner=owner, deadline=deadline_of(given.hours), files={}))
        print(as_yaml(render(config, owner=owner, deadline=deadline_of(given.hours), files={})), end="")
        return 0
    earlier = machines_of(provider, owner)
    show(earlier, owner)
    if given.list:
        return 0
    if earlier:
        if asked(f"End these {len(earlier)} machines first?"):
            end_machines(provider, earlier)
        elif not asked("Start more beside them?"):
            return 1
    ensure_token()
    with tempfile.TemporaryDirectory() as folder:
        build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, str(ROOT)]
        subprocess.run(build, check=True)
        (wheel,) = Path(folder).glob("*.whl")
        local = [wheel, ROOT / "constraints.txt", HERE / "setup.sh", HERE / "guard.sh"]
        files = {f"{REMOTE}/{path.name}": str(path) for path in local}
        deadline = deadline_of(given.hours)
        rendered = checked(render(resolve_images(config), owner=owner, deadline=deadline, files=files))
        path = Path(f"{Path(given.file).stem}-{owner}.rendered.yaml").resolve()
        path.write_text(as_yaml(rendered), encoding="utf-8")
        ends = datetime.fromtimestamp(deadline, UTC).strftime("%Y-%m-%d %H:%M UTC")
        print(f"every machine ends at {ends}; to end them before: ray down -y {path}")
        return subprocess.run([*RAY, "up", "-y", "--no-config-cache", str(path)], check=False).returncode


def load(name: str) -> dict[str, Any]:
    """A cluster file, by path or by its name in this folder.

    Raises:
        FileNotFoundError: there is none.
    """
    import yaml

    path = Path(name) if Path(name).exists() else HERE / name
    loaded: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


def deadline_of(hours: float) -> int:
    """Seconds since the epoch at which everything ends."""
    return int(time.time() + 3600 * hours)


def render(config: dict[str, Any], *, owner: str, deadline: int, files: dict[str, str]) -> dict[str, Any]:
    """The file as Ray gets it.

    Args:
        config: a cluster file.
        owner: tag of every machine.
        deadline: seconds since the epoch; a machine that starts later lives shorter.
        files: what is copied to every node, remote to local path.
    """
    made: dict[str, Any] = json.loads(json.dumps(config))
    made["cluster_name"] = f"{config['cluster_name']}-{owner}"
    made["file_mounts"] = {**made.get("file_mounts", {}), **files}
    made["setup_commands"] = [
        f"bash {REMOTE}/setup.sh {deadline} {IDLE_MINUTES}" if "setup.sh" in command else command
        for command in made["setup_commands"]
    ]
    for kind in made["available_node_types"].values():
        node = kind["node_config"]
        if made["provider"]["type"] == "aws":
            left = f"$(( ({deadline} - $(date +%s)) / 60 ))"
            node["UserData"] = f"#!/bin/bash\nleft={left}\nshutdown -h +$(( left > 1 ? left : 1 ))\n"
            node["TagSpecifications"] = [
                {"ResourceType": "instance", "Tags": [{"Key": TAG, "Value": owner}]},
            ]
        else:
            node["labels"] = {**node.get("labels", {}), TAG: owner}
            when = datetime.fromtimestamp(deadline, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            scheduling = {key: value for key, value in node["scheduling"].items() if key != "maxRunDuration"}
            node["scheduling"] = {**scheduling, "terminationTime": when}
    return made


def checked(config: dict[str, Any]) -> dict[str, Any]:
    """The file, after Ray's own validation of it with its defaults filled in.

    Raises:
        jsonschema.ValidationError: Ray would refuse it.
    """
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(json.loads(json.dumps(config))))
    return config


def as_yaml(config: dict[str, Any]) -> str:
    """The file as text."""
    import yaml

    return str(yaml.safe_dump(config, sort_keys=False))


def machines_of(provider: dict[str, Any], owner: str) -> list[Machine]:
    """Machines of this owner that cost something now, in the file's region (AWS) or project (Google Cloud)."""
    if provider["type"] == "aws":
        states = "Name=instance-state-name,Values=pending,running,stopping,stopped"
        filters = ["--filters", f"Name=tag:{TAG},Values={owner}", states]
        answer = ask(["aws", "ec2", "describe-instances", "--region", provider["region"], *filters])
        found = [each for reservation in answer["Reservations"] for each in reservation["Instances"]]
        return [
            Machine(i["InstanceId"], i["InstanceType"], str(i["LaunchTime"]), i["Placement"]["AvailabilityZone"])
            for i in found
        ]
    words = ["gcloud", "compute", "instances", "list", "--project", provider["project_id"]]
    answer = ask([*words, f"--filter=labels.{TAG}={owner}"])
    return [
        Machine(
            i["name"], i["machineType"].rsplit("/", 1)[-1], i["creationTimestamp"], i["zone"].rsplit("/", 1)[-1]
        )
        for i in answer
    ]


def end_machines(provider: dict[str, Any], machines: Sequence[Machine]) -> None:
    """End them for good."""
    if provider["type"] == "aws":
        ids = [machine.id for machine in machines]
        command = ["aws", "ec2", "terminate-instances", "--region", provider["region"], "--instance-ids", *ids]
        subprocess.run(command, check=True)
        return
    for machine in machines:
        words = ["gcloud", "compute", "instances", "delete", machine.id, "--zone", machine.place, "--quiet"]
        subprocess.run([*words, "--project", provider["project_id"]], check=True)


def resolve_images(config: dict[str, Any]) -> dict[str, Any]:
    """The file with image ids in the place of names that only the provider knows."""
    made: dict[str, Any] = json.loads(json.dumps(config))
    known: dict[str, str] = {}
    for kind in made["available_node_types"].values():
        node = kind["node_config"]
        if made["provider"]["type"] == "gcp":
            image = node["disks"][0]["initializeParams"]["sourceImage"]
            if image not in known:
                project, family = image.split("/")[1], image.rsplit("/", 1)[-1]
                words = ["gcloud", "compute", "images", "describe-from-family", family, "--project", project]
                known[image] = ask(words)["selfLink"].split("/v1/")[-1]
            node["disks"][0]["initializeParams"]["sourceImage"] = known[image]
        elif (name := node["ImageId"]).startswith("resolve:ssm:"):
            if name not in known:
                words = ["aws", "ssm", "get-parameter", "--region", made["provider"]["region"]]
                parameter = ask([*words, "--name", name.removeprefix("resolve:ssm:")])
                known[name] = parameter["Parameter"]["Value"]
            node["ImageId"] = known[name]
    return made


def ask(command: list[str]) -> Any:
    """What a provider's command answers in JSON."""
    flags = ["--output", "json"] if command[0] == "aws" else ["--format=json"]
    done = subprocess.run([*command, *flags], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def show(machines: Sequence[Machine], owner: str) -> None:
    """Print what runs."""
    if not machines:
        print(f"no machine of owner {owner} runs")
    for machine in machines:
        print(f"{machine.id}  {machine.kind}  since {machine.since}  in {machine.place}")


def asked(question: str) -> bool:
    """Ask a person; without a terminal the answer is no."""
    return sys.stdin.isatty() and input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def ensure_token() -> None:
    """Make the token that the cluster's nodes and its users share, where there is none."""
    if not TOKEN.expanduser().exists():
        subprocess.run([*RAY, "get-auth-token", "--generate"], check=True, stdout=subprocess.DEVNULL)
    TOKEN.expanduser().chmod(0o600)


if __name__ == "__main__":
    sys.exit(main())
