"""The Kubernetes files: valid, pinned to this project's versions, and without any right they do not need."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.cli import parser

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "cluster" / "kubernetes"


def documents() -> list[dict[str, Any]]:
    """Every object of every file."""
    return [
        document
        for path in sorted(FOLDER.glob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    ]


def of_kind(kind: str) -> dict[str, Any]:
    """The one object of a kind."""
    (found,) = [document for document in documents() if document["kind"] == kind]
    return found


def pod_templates() -> Iterator[dict[str, Any]]:
    """The pods of submitter, head and workers."""
    spec = of_kind("RayJob")["spec"]
    yield spec["submitterPodTemplate"]
    yield spec["rayClusterSpec"]["headGroupSpec"]["template"]
    yield from (group["template"] for group in spec["rayClusterSpec"]["workerGroupSpecs"])


def pins(path: Path) -> dict[str, str]:
    """Names and versions of a requirements file."""
    return dict(re.findall(r"^([\w.-]+)==([^\s;\\]+)", path.read_text(encoding="utf-8"), flags=re.M))


def test_the_image_has_the_versions_of_the_project():
    """Head, workers, laptop and tests run one Ray and one torch: those of constraints.txt, each with its hashes."""
    image = FOLDER / "image_requirements.txt"
    pinned, project = pins(image), pins(ROOT / "constraints.txt")

    assert {name: version for name, version in pinned.items() if project.get(name, version) != version} == {}
    assert of_kind("RayJob")["spec"]["rayClusterSpec"]["rayVersion"] == pinned["ray"] == project["ray"]
    assert {"torch", "optuna", "pyarrow", "aiohttp"} <= pinned.keys()
    assert not {"pytest", "moto", "mypy"} & pinned.keys()
    entries = re.split(r"\n(?=\S)", image.read_text(encoding="utf-8").strip())
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("document", documents(), ids=lambda document: document["kind"])
def test_core_objects_fit_the_kubernetes_schema(document):
    """A misspelt field, which the API server would drop without a word, is found here."""
    validate = pytest.importorskip("kubernetes_validate", reason="the schemas come with kubernetes-validate").validate
    if document["kind"] == "RayJob":
        for template in pod_templates():
            metadata = {"name": "pod", **template["metadata"]}
            validate({"apiVersion": "v1", "kind": "Pod", **template, "metadata": metadata}, "1.30", strict=True)
    else:
        validate(document, "1.30", strict=True)


def test_a_finished_job_takes_its_cluster_away():
    """Nothing keeps costing money: the cluster goes after the job, and a forgotten job has an end."""
    spec = of_kind("RayJob")["spec"]

    assert spec["shutdownAfterJobFinishes"] is True
    assert 0 < spec["ttlSecondsAfterFinished"] <= 3600
    assert 0 < spec["activeDeadlineSeconds"] <= 7 * 86400


def test_ray_asks_for_a_token_and_nothing_is_published():
    """Token authentication is on, and no service type, ingress or host port lets anybody in from outside."""
    cluster = of_kind("RayJob")["spec"]["rayClusterSpec"]

    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["headGroupSpec"]["serviceType"] == "ClusterIP"
    assert not cluster["headGroupSpec"].get("enableIngress")
    text = (FOLDER / "rayjob.yaml").read_text(encoding="utf-8")
    assert not re.search(r"hostPort|hostNetwork|hostPath|NodePort|LoadBalancer|auth_token|RAY_AUTH_TOKEN:", text)


def test_no_pod_has_rights_it_does_not_need():
    """Every pod meets the restricted standard: not root, no privilege, read-only root, no service account token."""
    for template in pod_templates():
        pod = template["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            rights = container["securityContext"]
            assert rights["allowPrivilegeEscalation"] is False
            assert rights["readOnlyRootFilesystem"] is True
            assert rights["capabilities"] == {"drop": ["ALL"]}
            assert not rights.get("privileged")
            assert "memory" in container["resources"]["limits"]
            assert {"name": "RAY_USAGE_STATS_ENABLED", "value": "0"} in container["env"]
    assert of_kind("Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_only_the_head_sees_the_data_and_it_runs_no_cell():
    """Patients' files are mounted where the driver runs, not on workers; the head offers no CPU to cells."""
    cluster = of_kind("RayJob")["spec"]["rayClusterSpec"]
    claim = {"claimName": of_kind("PersistentVolumeClaim")["metadata"]["name"]}

    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert claim in [volume.get("persistentVolumeClaim") for volume in _volumes(cluster["headGroupSpec"])]
    for group in cluster["workerGroupSpecs"]:
        assert all("persistentVolumeClaim" not in volume for volume in _volumes(group)), group["groupName"]


def _volumes(group: dict[str, Any]) -> list[dict[str, Any]]:
    return group["template"]["spec"]["volumes"]


def test_the_network_policy_covers_every_pod_of_the_job():
    """Ingress and egress are closed for the namespace; what is opened names pods that carry that label."""
    policy = of_kind("NetworkPolicy")["spec"]
    (among_themselves, operator) = policy["ingress"]

    assert policy["podSelector"] == {}
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    wanted = among_themselves["from"][0]["podSelector"]["matchLabels"].items()
    assert all(wanted <= template["metadata"]["labels"].items() for template in pod_templates())
    assert operator["ports"] == [{"protocol": "TCP", "port": 8265}]
    assert all("to" in rule for rule in policy["egress"])


def test_the_entrypoint_is_a_polarmap_command():
    """What the job runs can be parsed, joins the job's own Ray, and reads the mounted volume."""
    words = shlex.split(of_kind("RayJob")["spec"]["entrypoint"])
    arguments = parser().parse_args(words[1:])

    assert words[0] == "polarmap"
    assert arguments.address == "auto"
    assert arguments.experiment.is_relative_to("/data")


def test_the_image_runs_as_the_user_of_the_pods():
    """Image and pods agree on a user that is not root, and the image installs nothing without a hash but our wheel."""
    dockerfile = (ROOT / "cluster" / "Dockerfile").read_text(encoding="utf-8")
    installs = [line for line in dockerfile.splitlines() if "pip install" in line]

    assert re.search(r"^USER 10001:10001$", dockerfile, flags=re.M)
    assert {template["spec"]["securityContext"]["runAsUser"] for template in pod_templates()} == {10001}
    assert len(installs) == 2
    assert "--require-hashes" in installs[0]
    assert "--no-deps" in installs[1]
