"""cluster.yaml and the files that make its prerequisites in AWS say the same things."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

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
    looking = re.compile(r"ec2:Describe|tag:Get|ssm:UpdateInstanceInformation|ssmmessages:")
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
