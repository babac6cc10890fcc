"""Cluster files: accepted by Ray's own schema, pinned, every machine with an owner, a deadline, an idle limit."""

from __future__ import annotations

import copy
import re
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
from ray.autoscaler._private.util import prepare_config, validate_config

from scripts.cluster.up import TAG, load, render

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "scripts" / "cluster"
LAUNCHER = ("aws.yaml", "gcp.yaml")
KUBERAY = ("kuberay.yaml", "kuberay-job.yaml")
DEADLINE = 2_000_000_000

POD = {
    "type": "object",
    "required": ["spec"],
    "properties": {
        "metadata": {"type": "object"},
        "spec": {
            "type": "object",
            "required": ["containers", "activeDeadlineSeconds", "restartPolicy"],
            "properties": {
                "containers": {"type": "array", "minItems": 1, "maxItems": 1},
                "activeDeadlineSeconds": {"type": "integer", "maximum": 14400},
                "restartPolicy": {"const": "Never"},
            },
        },
    },
}
# The fields of KubeRay's RayClusterSpec and RayJobSpec (v1, KubeRay 1.6) that these files may use. No package holds
# the definitions themselves; these were compared by hand with KubeRay's types and its published reference. kubectl
# refuses a file with a field that they do not have.
GROUP = {"rayStartParams": {"type": "object", "additionalProperties": {"type": "string"}}, "template": POD}
CLUSTER_SPEC: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["rayVersion", "authOptions", "enableInTreeAutoscaling", "headGroupSpec", "workerGroupSpecs"],
    "properties": {
        "rayVersion": {"type": "string"},
        "authOptions": {"const": {"mode": "token"}},
        "enableInTreeAutoscaling": {"const": True},
        "autoscalerOptions": {
            "type": "object",
            "additionalProperties": False,
            "required": ["idleTimeoutSeconds"],
            "properties": {
                "version": {"enum": ["v1", "v2"]},
                "upscalingMode": {"enum": ["Default", "Aggressive", "Conservative"]},
                "idleTimeoutSeconds": {"type": "integer", "maximum": 600},
                "resources": {"type": "object"},
            },
        },
        "headGroupSpec": {
            "type": "object",
            "additionalProperties": False,
            "required": ["rayStartParams", "template"],
            "properties": GROUP,
        },
        "workerGroupSpecs": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"],
                "properties": {
                    **GROUP,
                    "groupName": {"type": "string"},
                    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                    # Nothing is rented before a sweep asks for it.
                    "replicas": {"const": 0},
                    "minReplicas": {"const": 0},
                    "maxReplicas": {"type": "integer"},
                },
            },
        },
    },
}
JOB_SPEC: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["entrypoint", "shutdownAfterJobFinishes", "activeDeadlineSeconds", "rayClusterSpec"],
    "properties": {
        "entrypoint": {"type": "string"},
        "submissionMode": {"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
        "backoffLimit": {"const": 0},
        "activeDeadlineSeconds": {"type": "integer", "maximum": 14400},
        "shutdownAfterJobFinishes": {"const": True},
        "ttlSecondsAfterFinished": {"type": "integer"},
        "rayClusterSpec": CLUSTER_SPEC,
    },
}


def pinned(package: str) -> str:
    """A version of constraints.txt."""
    (found,) = re.findall(rf"^{package}==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M)
    return str(found)


def documents(name: str) -> dict[str, dict[str, Any]]:
    """The objects of a file by their kind."""
    return {found["kind"]: found for found in yaml.safe_load_all((FOLDER / name).read_text())}


def document(name: str) -> dict[str, Any]:
    """The RayCluster or RayJob of a file."""
    found = documents(name)
    return found["RayJob"] if "RayJob" in found else found["RayCluster"]


def ray_cluster(name: str) -> dict[str, Any]:
    """The RayCluster of a file; the one that KubeRay would make where the file has a RayJob."""
    found = document(name)
    spec = found["spec"] if found["kind"] == "RayCluster" else found["spec"]["rayClusterSpec"]
    return {"metadata": {"name": found["metadata"]["name"], "namespace": "default"}, "spec": spec}


@pytest.mark.parametrize("name", LAUNCHER)
@pytest.mark.parametrize("rendered", [False, True])
def test_ray_accepts_the_launcher_files(name: str, rendered: bool) -> None:
    config = load(name)
    if rendered:
        config = render(config, owner="me", deadline=DEADLINE, files={"~/orchestrator-node/x.whl": "/tmp/x.whl"})
    before = copy.deepcopy(config)
    validate_config(prepare_config(config))
    assert config.keys() >= before.keys()


def test_rays_schema_is_what_refuses_a_misspelt_key() -> None:
    config = load("aws.yaml")
    config["available_node_types"]["l4"]["max_worker"] = 3
    with pytest.raises(jsonschema.ValidationError, match="max_worker"):
        validate_config(prepare_config(config))


def test_every_aws_machine_has_an_owner_and_ends_at_the_deadline() -> None:
    config = render(load("aws.yaml"), owner="me", deadline=DEADLINE, files={})
    assert config["cluster_name"] == "orchestrator-me"
    assert config["provider"]["cache_stopped_nodes"] is False
    for kind in config["available_node_types"].values():
        node = kind["node_config"]
        assert node["InstanceInitiatedShutdownBehavior"] == "terminate"
        assert node["TagSpecifications"][0]["Tags"] == [{"Key": TAG, "Value": "me"}]
        assert str(DEADLINE) in node["UserData"]
        assert "shutdown -h" in node["UserData"]
        assert all(disk["Ebs"]["DeleteOnTermination"] for disk in node["BlockDeviceMappings"])


def test_every_google_machine_has_an_owner_and_is_deleted_by_google_at_the_deadline() -> None:
    config = render(load("gcp.yaml"), owner="me", deadline=DEADLINE, files={})
    for kind in config["available_node_types"].values():
        node = kind["node_config"]
        assert node["labels"][TAG] == "me"
        assert node["scheduling"]["instanceTerminationAction"] == "DELETE"
        assert node["scheduling"]["terminationTime"] == "2033-05-18T03:33:20Z"
        assert "maxRunDuration" not in node["scheduling"]
        assert all(disk["autoDelete"] for disk in node["disks"])
    for kind in load("gcp.yaml")["available_node_types"].values():
        # Without up.py there is a limit as well.
        assert kind["node_config"]["scheduling"]["maxRunDuration"] == {"seconds": "14400"}


@pytest.mark.parametrize("name", LAUNCHER)
def test_launcher_files_idle_out_start_with_a_token_and_run_the_guard(name: str) -> None:
    config = render(load(name), owner="me", deadline=DEADLINE, files={})
    assert config["idle_timeout_minutes"] <= 10
    assert "~/.ray/auth_token" in config["file_mounts"]
    assert any(f"setup.sh {DEADLINE} 30" in command for command in config["setup_commands"])
    for commands in (config["head_start_ray_commands"], config["worker_start_ray_commands"]):
        starts = [command for command in commands if "ray start" in command]
        assert len(starts) == 1
        assert "RAY_AUTH_MODE=token" in starts[0]
    assert "--dashboard-host=127.0.0.1" in config["head_start_ray_commands"][-1]
    workers = {k: v for k, v in config["available_node_types"].items() if k != config["head_node_type"]}
    assert all(kind["min_workers"] == 0 and kind["resources"]["GPU"] == 1 for kind in workers.values())


@pytest.mark.parametrize("name", LAUNCHER)
def test_labels_are_those_that_the_hardware_classes_ask_for(name: str) -> None:
    known = {
        yaml.safe_load(path.read_text()).get("labels", {}).get("gpu-class")
        for path in (ROOT / "conf" / "hardware").glob("*.yaml")
    }
    for kind in load(name)["available_node_types"].values():
        label = kind.get("labels", {}).get("gpu-class")
        assert label in known


def test_the_kuberay_files_have_only_fields_that_kuberay_knows() -> None:
    jsonschema.validate(document("kuberay.yaml")["spec"], CLUSTER_SPEC)
    jsonschema.validate(document("kuberay-job.yaml")["spec"], JOB_SPEC)


@pytest.mark.parametrize("name", KUBERAY)
def test_rays_autoscaler_understands_the_kuberay_files(name: str) -> None:
    config = _derive_autoscaling_config_from_ray_cr(ray_cluster(name))
    groups = {k: v for k, v in config["available_node_types"].items() if k != config["head_node_type"]}
    assert groups
    for group, kind in groups.items():
        assert kind["resources"]["GPU"] == 1
        assert kind["labels"]["gpu-class"] == group
        assert kind["min_workers"] == 0
    # No program on the head, where the control plane is.
    assert config["available_node_types"][config["head_node_type"]]["resources"]["CPU"] == 0


class Asked(BaseHTTPRequestHandler):
    """An API server that only notes what it is asked, and answers as it is told."""

    seen: ClassVar[list[tuple[str, str, str | None]]] = []
    status: ClassVar[int] = 200

    def do_DELETE(self) -> None:
        self.seen.append((self.command, self.path, self.headers.get("Authorization")))
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def api(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An API server with a certificate of its own; what a pod's environment must hold to reach it."""
    words = ["-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(tmp_path / "key")]
    made = subprocess.run(
        ["openssl", "req", "-x509", *words, *names, "-out", str(tmp_path / "ca.crt")], capture_output=True
    )
    assert made.returncode == 0, made.stderr
    (tmp_path / "token").write_text("a-token")
    server = HTTPServer(("127.0.0.1", 0), Asked)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "ca.crt", tmp_path / "key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    Asked.seen.clear()
    try:
        url = f"https://localhost:{server.server_port}"
        yield {"API": url, "ACCOUNT": str(tmp_path), "NAMESPACE": "here", "LIFETIME_S": "0.01"}
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
@pytest.mark.parametrize(("status", "code"), [(200, 0), (404, 0), (500, 1)])
def test_the_clock_of_the_kuberay_cluster_deletes_it_and_fails_unless_it_is_gone(
    api: dict[str, str], status: int, code: int
) -> None:
    job = documents("kuberay.yaml")["Job"]["spec"]
    (container,) = job["template"]["spec"]["containers"]
    assert set(api) == {variable["name"] for variable in container["env"]}
    Asked.status = status
    done = subprocess.run([sys.executable, "-c", *container["args"]], env=api, capture_output=True, timeout=60)
    assert done.returncode == code, done.stderr
    assert Asked.seen == [("DELETE", "/apis/ray.io/v1/namespaces/here/rayclusters/orchestrator", "Bearer a-token")]


def test_the_clock_may_delete_this_cluster_and_nothing_else() -> None:
    found = documents("kuberay.yaml")
    name = found["RayCluster"]["metadata"]["name"]
    assert found["Role"]["rules"] == [
        {"apiGroups": ["ray.io"], "resources": ["rayclusters"], "resourceNames": [name], "verbs": ["delete"]}
    ]
    account = found["ServiceAccount"]["metadata"]["name"]
    assert found["Job"]["spec"]["template"]["spec"]["serviceAccountName"] == account
    assert found["RoleBinding"]["subjects"] == [{"kind": "ServiceAccount", "name": account}]
    lifetime = found["Job"]["spec"]["template"]["spec"]["containers"][0]["env"][1]
    assert lifetime == {"name": "LIFETIME_S", "value": "14400"}
    for each in found.values():
        assert "orchestrator-owner" in each["metadata"]["labels"]


@pytest.mark.parametrize("name", KUBERAY)
def test_every_pod_has_an_owner_and_no_worker_a_kubernetes_token(name: str) -> None:
    spec = ray_cluster(name)["spec"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        assert "orchestrator-owner" in group["template"]["metadata"]["labels"]
    for group in spec["workerGroupSpecs"]:
        assert group["template"]["spec"]["automountServiceAccountToken"] is False


def test_versions_are_those_of_the_constraints() -> None:
    ray = pinned("ray")
    for name in KUBERAY:
        assert ray_cluster(name)["spec"]["rayVersion"] == ray
    assert f"FROM rayproject/ray:{ray}-py312-gpu" in (FOLDER / "Dockerfile").read_text()
    for name in ("Dockerfile", "setup.sh"):
        assert "--constraint" in (FOLDER / name).read_text()


def test_the_image_is_given_what_the_wheel_is_made_of_and_no_more(tmp_path: Path) -> None:
    lines = [line.split() for line in (FOLDER / "Dockerfile").read_text().splitlines()]
    copied = [word for line in lines if line and line[0] == "COPY" for word in line[2:-1]]
    assert sorted(copied) == sorted(
        ["pyproject.toml", "constraints.txt", "README.md", "LICENSE", "orchestrator", "tasks", "conf"]
    )
    for name in copied:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tmp_path / name)
    pytest.importorskip(
        "hatchling", reason="pip fetches it for a build; without a network only the list is checked"
    )
    # The same hook that pip calls, without fetching anything.
    build = "import hatchling.build, sys; hatchling.build.build_wheel(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", build, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", [*LAUNCHER, *KUBERAY, "rtx.sh"])
def test_the_header_says_what_an_hour_costs_how_to_stop_and_what_ends_it(name: str) -> None:
    lines = (FOLDER / name).read_text().splitlines()
    header = "\n".join(
        line for line in lines[: next(i for i, x in enumerate(lines) if i and not x.startswith("#"))]
    )
    for phrase in ("An hour costs", "What ends"):
        assert phrase in header
    assert "Stop:" in header or "down HOSTS_FILE" in header
