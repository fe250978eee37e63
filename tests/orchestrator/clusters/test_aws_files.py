"""cluster.yaml and the files that make its prerequisites in AWS say the same things."""

import copy
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
from ray.autoscaler.v2.utils import ResourceRequestUtil

ROOT = Path(__file__).resolve().parents[3]
POLICIES = ROOT / "cluster" / "aws" / "policies"
CLUSTER = yaml.safe_load((ROOT / "cluster.yaml").read_text(encoding="utf-8"))


class TemplateLoader(yaml.SafeLoader):
    """CloudFormation's short tags: `!Sub text` is its text, others are kept as their names and values."""


def of_tag(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return value if suffix == "Sub" else {suffix: value}


TemplateLoader.add_multi_constructor("!", of_tag)
TEMPLATE = yaml.load((ROOT / "cluster" / "aws" / "network.yaml").read_text(encoding="utf-8"), TemplateLoader)


def policy(name: str) -> dict[str, Any]:
    return json.loads((POLICIES / f"{name}.json").read_text(encoding="utf-8"))


def statement(name: str, action: str, resource: str) -> dict[str, Any]:
    """The one statement of a policy that allows an action on a kind of resource."""
    (found,) = [
        one
        for one in policy(name)["Statement"]
        if action in one["Action"] and any(resource in each for each in [one["Resource"]] if isinstance(each, str))
    ]
    return found


def configs() -> dict[str, dict[str, Any]]:
    return {name: kind["node_config"] for name, kind in CLUSTER["available_node_types"].items()}


@pytest.mark.parametrize("name", ["head", "worker", "launcher"])
def test_the_template_holds_the_policies_that_stand_beside_it(name):
    """Who reads the JSON reads what is applied: template and documents cannot drift apart."""
    resources = TEMPLATE["Resources"]
    if name == "launcher":
        inside = resources["LauncherPolicy"]["Properties"]["PolicyDocument"]
    else:
        role = resources[f"{name.capitalize()}Role"]["Properties"]
        (inside,) = [one["PolicyDocument"] for one in role["Policies"]]
        assert role["AssumeRolePolicyDocument"] == policy("ec2_assumes")
        assert "ManagedPolicyArns" not in role

    assert inside == policy(name)


def test_head_and_launcher_may_start_what_the_file_asks_for_and_nothing_else():
    """The instance types of the policies are those of cluster.yaml: the head for people, workers for the head."""
    types = {name: config["InstanceType"] for name, config in configs().items()}
    head = types.pop(CLUSTER["head_node_type"])

    allowed = statement("head", "ec2:RunInstances", ":instance/*")["Condition"]["StringEquals"]
    assert set(allowed["ec2:InstanceType"]) == set(types.values())
    assert allowed["ec2:MetadataHttpTokens"] == "required"
    assert (
        statement("launcher", "ec2:RunInstances", ":instance/*")["Condition"]["StringEquals"]["ec2:InstanceType"]
        == head
    )


def test_each_may_only_hand_on_the_next_role():
    """A person hands out the head's role, the head the workers', workers none; profiles in the file are those roles."""
    profiles = {name: config["IamInstanceProfile"]["Name"] for name, config in configs().items()}

    assert profiles.pop(CLUSTER["head_node_type"]) == "polarmap-head"
    assert set(profiles.values()) == {"polarmap-worker"}
    assert statement("launcher", "iam:PassRole", "role/")["Resource"].endswith("role/polarmap-head")
    assert statement("head", "iam:PassRole", "role/")["Resource"].endswith("role/polarmap-worker")
    assert {action.partition(":")[0] for one in policy("worker")["Statement"] for action in listed(one["Action"])} == {
        "s3"
    }


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


@pytest.mark.parametrize("name", ["head", "worker", "launcher"])
def test_no_policy_holds_a_wildcard_that_acts(name):
    """What may act on everything only looks; S3 ends at the prefixes, and workers never see the cohort."""
    looking = re.compile(r"ec2:Describe|servicequotas:Get|tag:Get|ssm:UpdateInstanceInformation|ssmmessages:")
    for one in policy(name)["Statement"]:
        for action in listed(one["Action"]):
            assert "*" not in action
            assert one["Resource"] != "*" or looking.match(action), action
            if action.startswith("s3:") and action != "s3:ListBucket":
                prefixes = ("/${RunsPrefix}/*", "/${CohortPrefix}/*")
                assert one["Resource"].endswith(prefixes[: 1 if name == "worker" else 2])
                assert action == "s3:GetObject" or one["Resource"].endswith(prefixes[0])


def test_the_template_opens_nothing():
    """No subnet gives public addresses, and no rule lets an address in."""
    for resource in TEMPLATE["Resources"].values():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::EC2::Subnet":
            assert properties["MapPublicIpOnLaunch"] is False
        if resource["Type"] == "AWS::EC2::SecurityGroup":
            assert not any("CidrIp" in rule for rule in properties.get("SecurityGroupIngress", []))
        if resource["Type"] == "AWS::EC2::SecurityGroupIngress":
            assert not {"CidrIp", "CidrIpv6"} & set(properties)


def asked_for(cells: int, out_of_stock: tuple[str, ...] = (), settings: dict[str, Any] = CLUSTER) -> dict[str, int]:
    """What Ray's own autoscaler (version 2) would start for waiting cells with a GPU each."""
    settings = copy.deepcopy(settings)
    del settings["auth"]["ssh_private_key"]  # Ray reads it
    config = AutoscalingConfig(prepare_config(settings), skip_content_hash=True)
    request = SchedulingRequest(
        disable_launch_config_check=True,
        node_type_configs=config.get_node_type_configs(),
        max_num_nodes=config.get_max_num_nodes(),
        resource_requests=ResourceRequestUtil.group_by_count(
            [ResourceRequestUtil.make({"CPU": 1, "GPU": 1}) for _ in range(cells)]
        ),
        recoverable_resource_availabilities=dict.fromkeys(out_of_stock, 0.0),
    )
    return {launch.instance_type: launch.count for launch in ResourceDemandScheduler().schedule(request).to_launch}


def test_spot_comes_first_and_on_demand_when_no_spot_is_left():
    """Ray's scheduler takes the file's types in the order that the comments promise, and no more than they allow."""
    assert asked_for(0) == {}
    assert asked_for(3) == {"gpu_spot": 3}
    assert asked_for(3, ("gpu_spot",)) == {"gpu_spot_newer": 3}
    assert asked_for(1, ("gpu_spot", "gpu_spot_newer")) == {"gpu_on_demand": 1}
    assert asked_for(4, ("gpu_spot", "gpu_spot_newer"))["gpu_on_demand"] == 2


def pins(path: Path) -> dict[str, str]:
    """The versions of a requirements file."""
    return dict(re.findall(r"^([\w.-]+)==(\S+)", path.read_text(encoding="utf-8"), flags=re.M))


def test_nodes_install_what_runs_and_no_tool_of_development():
    """A node gets the project's own pins of all that it imports, hashed, and nothing of the development group."""
    path = ROOT / "cluster" / "node_requirements.txt"
    pinned, project = pins(path), pins(ROOT / "constraints.txt")
    described = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = described["project"]["dependencies"] + described["project"]["optional-dependencies"]["aws"]
    tools = {re.split(r"[\[<>=]", one)[0] for one in described["dependency-groups"]["dev"]} - {"boto3"}

    assert {re.split(r"[\[<>=]", one)[0].lower() for one in wanted} <= pinned.keys()
    assert {name: version for name, version in pinned.items() if project[name] != version} == {}
    assert not tools & pinned.keys()
    assert CLUSTER["file_mounts"]["~/polarmap_install/node_requirements.txt"] == "cluster/node_requirements.txt"
    entries = re.split(r"\n(?=\S)", path.read_text(encoding="utf-8").strip())
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_the_number_of_workers_stands_in_one_place():
    """Who writes eight workers at the top gets eight spot GPUs of one type, without another change."""
    settings = copy.deepcopy(CLUSTER)
    settings["max_workers"] = 8
    assert asked_for(8, settings=settings) == {"gpu_spot": 8}
    # The head, which is no part of this request, would be one of the five.
    assert sum(asked_for(20).values()) == CLUSTER["max_workers"] + 1


def test_the_region_is_one():
    """Nodes and the bucket that they write to are in one region; S3 refuses requests that name another one."""
    text = (ROOT / "cluster.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"(?:--region|AWS_REGION=?|region:) ?(\w+-\w+-\d)\b", text)) == {
        CLUSTER["provider"]["region"]
    }


def test_a_worker_tests_its_gpu_before_it_joins_and_every_node_ships_its_logs():
    """A GPU that does not compute never joins, and no machine takes Ray's logs with it."""
    worker, head = CLUSTER["worker_start_ray_commands"], CLUSTER["head_start_ray_commands"]
    (check,) = [number for number, line in enumerate(worker) if "orchestrator.clusters.gpu_check" in line]
    (start,) = [number for number, line in enumerate(worker) if "ray start" in line]

    assert check < start
    for commands in (worker, head):
        assert any("orchestrator.storage.ship_logs /tmp/ray/session_latest/logs" in line for line in commands)


def test_versions_agree():
    """Ray, Python and the wheel in cluster.yaml are those of constraints.txt and pyproject.toml."""
    text = (ROOT / "cluster.yaml").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pinned = re.search(r"^ray==(\S+)", (ROOT / "constraints.txt").read_text(encoding="utf-8"), flags=re.M)
    assert pinned is not None

    assert set(re.findall(r"Ray (2\.\d+\.\d+)|ray, version (\d\S+?)\"", text)) == {(pinned[1], ""), ("", pinned[1])}
    assert set(re.findall(r"polarmap_tune-([\d.]+)-py3", text)) == {project["version"]}
    (python,) = set(re.findall(r"python(3\.\d+)", text))
    assert f"Programming Language :: Python :: {python}" in project["classifiers"]


def test_head_and_workers_are_the_same_but_for_their_task():
    """Every node has the same image, network, group, encryption and metadata rule, so a worker is no weaker spot."""
    same = ("ImageId", "SubnetIds", "SecurityGroupIds", "MetadataOptions", "BlockDeviceMappings", "TagSpecifications")
    head = configs()[CLUSTER["head_node_type"]]

    for config in configs().values():
        assert {key: config[key] for key in same} == {key: head[key] for key in same}


def test_the_template_is_valid_cloudformation():
    """AWS's own linter finds nothing in the template."""
    api = pytest.importorskip("cfnlint.api", reason="cfn-lint is not installed")

    assert api.lint_file(ROOT / "cluster" / "aws" / "network.yaml") == []
