"""`ray up`, `ray exec` and `ray down` of cluster.yaml against an AWS on loopback that checks every right.

The network template makes the account; Ray runs with the rights of the template's launcher policy, workers are
launched with the head role's. moto checks actions alone, so resources and conditions are taken off the policies here.
`ssh`, `rsync` and `aws` are stood in for: nothing is ever installed on an instance.
"""

import base64
import json
import os
import re
import secrets
import shutil
import socket
import stat
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
REGION = "eu-central-1"

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@dataclass(frozen=True)
class Account:
    """An AWS account on loopback, seen by its owner."""

    url: str
    owner: dict[str, str]

    def client(self, service: str, keys: dict[str, str] | None = None) -> Any:
        keys = keys or self.owner
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=keys["id"],
            aws_secret_access_key=keys["secret"],
            aws_session_token=keys.get("session"),
        )

    def post(self, path: str, body: bytes = b"") -> bytes:
        # As text: a form's body would be taken apart.
        request = urllib.request.Request(f"{self.url}{path}", body, {"Content-Type": "text/plain"}, method="POST")
        with urllib.request.urlopen(request) as answer:
            return answer.read()

    def instances(self) -> list[dict[str, Any]]:
        found = self.client("ec2").describe_instances()["Reservations"]
        return [instance for reservation in found for instance in reservation["Instances"]]


def environment_of(keys: dict[str, str]) -> dict[str, str]:
    named = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "session"}
    return {name: keys[key] for name, key in named.items() if key in keys}


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """The account, with what the network template makes in it; from then on every call needs its right."""
    folder = tmp_path_factory.mktemp("amazon")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1", "-p", str(port)]
    settings = {"MOTO_RECORDER_FILEPATH": str(folder / "recording")}
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, env=os.environ | settings, stdout=subprocess.DEVNULL, stderr=log)
    try:
        until_it_listens(port)
        found = Account(url=f"http://127.0.0.1:{port}", owner={"id": "owner", "secret": "owner"})
        apply_template(found)
        yield Account(url=found.url, owner=keys_of(found, "owner", allow(found, "everything", ["*"])))
    finally:
        server.terminate()
        server.wait()


def until_it_listens(port: int) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            assert time.monotonic() < end, "the server does not start"
            time.sleep(0.1)


def apply_template(account: Account) -> None:
    account.client("s3").create_bucket(
        Bucket="nuclear-cardiology", CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    account.client("cloudformation").create_stack(
        StackName="polarmap",
        TemplateBody=(ROOT / "cluster" / "aws" / "network.yaml").read_text(encoding="utf-8"),
        Parameters=[{"ParameterKey": "Bucket", "ParameterValue": "nuclear-cardiology"}],
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )


def allow(account: Account, name: str, actions: list[str]) -> str:
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]}
    made = account.client("iam").create_policy(PolicyName=name, PolicyDocument=json.dumps(document))
    return str(made["Policy"]["Arn"])


def actions_of(policy: str) -> list[str]:
    """Every action that a policy of cluster/aws/policies allows, with whatever resource and condition."""
    document = json.loads((ROOT / "cluster" / "aws" / "policies" / f"{policy}.json").read_text(encoding="utf-8"))
    assert all(statement["Effect"] == "Allow" for statement in document["Statement"])
    listed = [statement["Action"] for statement in document["Statement"]]
    actions = {action for one in listed for action in ([one] if isinstance(one, str) else one)}
    # moto calls this service by the name that signs its requests, AWS's policies by another.
    return sorted(re.sub(r"^tag:", "tagging:", action) for action in actions)


def keys_of(account: Account, user: str, policy: str) -> dict[str, str]:
    identity = account.client("iam")
    identity.create_user(UserName=user)
    identity.attach_user_policy(UserName=user, PolicyArn=policy)
    key = identity.create_access_key(UserName=user)["AccessKey"]
    return {"id": key["AccessKeyId"], "secret": key["SecretAccessKey"]}


def keys_of_role(account: Account, role: str) -> dict[str, str]:
    """Credentials of a role of the template, by action alone."""
    identity = account.client("iam")
    actions = actions_of(role.removeprefix("polarmap-"))
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]}
    identity.put_role_policy(RoleName=role, PolicyName=role, PolicyDocument=json.dumps(document))
    arn = identity.get_role(RoleName=role)["Role"]["Arn"]
    made = account.client("sts").assume_role(RoleArn=arn, RoleSessionName="node")["Credentials"]
    return {"id": made["AccessKeyId"], "secret": made["SecretAccessKey"], "session": made["SessionToken"]}


def outputs_of(account: Account) -> dict[str, str]:
    stack = account.client("cloudformation").describe_stacks(StackName="polarmap")["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def filled_in(account: Account) -> str:
    """cluster.yaml with its placeholders replaced as docs/cluster_aws.md says, and nothing else."""
    outputs = outputs_of(account)
    image = account.client("ec2").describe_images()["Images"][0]["ImageId"]
    text = (ROOT / "cluster.yaml").read_text(encoding="utf-8")
    text = text.replace("ami-" + "0" * 17, image)
    text = text.replace("sg-" + "0" * 17, outputs["SecurityGroupIds"])
    text = re.sub(r"SubnetIds: \[subnet-0.*\]", f"SubnetIds: [{outputs['SubnetIds']}]", text)
    text = text.replace("bucket-" + "0" * 17, "nuclear-cardiology")
    assert "0" * 16 not in text
    return text


@dataclass(frozen=True)
class Laptop:
    """A laptop with cluster.yaml, a key, a token, a wheel, and the rights of the launcher policy."""

    folder: Path
    environment: dict[str, str]

    def ray(self, *words: str) -> str:
        command = [str(Path(sys.executable).with_name("ray")), *words]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False, timeout=900
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def calls(self, tool: str) -> list[list[str]]:
        lines = (self.folder / "tools" / "calls.jsonl").read_text(encoding="utf-8").splitlines()
        calls = [json.loads(line) for line in lines]
        return [call["arguments"] for call in calls if call["tool"] == tool]

    @property
    def head(self) -> Path:
        """What lies in the head's home."""
        return self.folder / "tools" / "head"


@pytest.fixture(scope="module")
def laptop(account: Account, tmp_path_factory: pytest.TempPathFactory) -> Laptop:
    """As docs/cluster_aws.md says it has to be before `ray up`."""
    folder = tmp_path_factory.mktemp("laptop")
    (folder / "cluster.yaml").write_text(filled_in(account), encoding="utf-8")
    (folder / "cluster").mkdir()
    shutil.copy(ROOT / "cluster" / "node_requirements.txt", folder / "cluster")
    (folder / "dist").mkdir()
    (folder / "dist" / "polarmap_tune-0.1.0-py3-none-any.whl").write_bytes(b"the wheel")
    key = account.client("ec2").create_key_pair(KeyName="polarmap")["KeyMaterial"]
    for name, secret in ((".ssh/polarmap.pem", key), (".ray/auth_token", secrets.token_hex(32))):
        (folder / name).parent.mkdir()
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(secret, encoding="utf-8")
    (folder / "tools").mkdir()
    for tool in ("ssh", "rsync", "aws"):
        shim = folder / "tools" / tool
        shim.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{HERE / 'laptop_tools.py'}' {tool} \"$@\"\n")
        shim.chmod(0o755)
    environment = {
        "HOME": str(folder),
        "PATH": f"{folder / 'tools'}:{Path(sys.executable).parent}:/usr/bin:/bin",
        "LAPTOP_TOOLS_FOLDER": str(folder / "tools"),
        "AWS_ENDPOINT_URL": account.url,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_UP_enable_autoscaler_v2": "1",
        **environment_of(keys_of(account, "launcher", allow(account, "launcher", actions_of("launcher")))),
    }
    return Laptop(folder=folder, environment=environment)


@dataclass(frozen=True)
class Story:
    """What happened from `ray up` to `ray down`, as the account saw it."""

    requests: list[dict[str, list[str]]]
    """The parameters of every RunInstances, as they came in."""
    running: list[dict[str, Any]]
    volumes: list[dict[str, Any]]
    roles: set[str]
    groups: set[str]
    after: list[dict[str, Any]]
    left: list[dict[str, Any]]
    """Instances and volumes that the documented listing finds after `ray down`."""
    worker_keys: dict[str, str]


@pytest.fixture(scope="module")
def story(account: Account, laptop: Laptop) -> Story:
    """`ray up`, the head's workers, `ray exec`, `ray down`."""
    identity, compute = account.client("iam"), account.client("ec2")
    before = {group["GroupId"] for group in compute.describe_security_groups()["SecurityGroups"]}
    head_keys, worker_keys = (keys_of_role(account, role) for role in ("polarmap-head", "polarmap-worker"))
    account.post("/moto-api/reset-auth", b"0")
    account.post("/moto-api/recorder/start-recording")
    laptop.ray("up", "-y", "--no-config-cache", "cluster.yaml")
    launched = subprocess.run(
        [sys.executable, str(HERE / "head_launches.py"), str(laptop.head / "ray_bootstrap_config.yaml")],
        env=os.environ | {"AWS_ENDPOINT_URL": account.url, "HOME": str(laptop.head)} | environment_of(head_keys),
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert launched.returncode == 0, launched.stdout + launched.stderr
    laptop.ray(
        "exec", "--no-config-cache", "--stop", "--tmux", "cluster.yaml", "polarmap run experiment.toml --address auto"
    )
    running = [instance for instance in account.instances() if instance["State"]["Name"] == "running"]
    volumes = compute.describe_volumes()["Volumes"]
    laptop.ray("down", "-y", "cluster.yaml")
    account.post("/moto-api/recorder/stop-recording")
    with urllib.request.urlopen(f"{account.url}/moto-api/recorder/download-recording") as answer:
        lines = answer.read().decode().splitlines()
    asked = [urllib.parse.parse_qs(base64.b64decode(json.loads(line)["body"]).decode()) for line in lines]
    after = {group["GroupId"] for group in compute.describe_security_groups()["SecurityGroups"]}
    tagged = [{"Name": "tag:project", "Values": ["polarmap"]}]
    states = {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]}
    left = compute.describe_instances(Filters=[*tagged, states])["Reservations"]
    left += compute.describe_volumes(Filters=tagged)["Volumes"]
    return Story(
        requests=[request for request in asked if request.get("Action") == ["RunInstances"]],
        running=running,
        volumes=volumes,
        roles={role["RoleName"] for role in identity.list_roles()["Roles"]},
        groups=after - before,
        after=account.instances(),
        left=left,
        worker_keys=worker_keys,
    )


def head_file(laptop: Laptop) -> dict[str, Any]:
    """The cluster file that the head has, which its autoscaler goes by."""
    return yaml.safe_load((laptop.head / "ray_bootstrap_config.yaml").read_text(encoding="utf-8"))


def of_type(story: Story, node_type: str) -> dict[str, list[str]]:
    """The one request for a node type."""
    (found,) = [
        request for request in story.requests if node_type in {value for values in request.values() for value in values}
    ]
    return found


def test_ray_up_starts_one_small_head_on_demand(story):
    """The head is the small on-demand instance of the file, ends when it shuts down, and is the only one from here."""
    head = of_type(story, "ray-polarmap-head")

    assert head["InstanceType"] == ["m6i.large"]
    assert head["MaxCount"] == ["1"]
    assert head["InstanceInitiatedShutdownBehavior"] == ["terminate"]
    assert not any(key.startswith("InstanceMarketOptions") for key in head)
    assert head["IamInstanceProfile.Name"] == ["polarmap-head"]


def test_workers_are_spot_but_for_the_fallback(story):
    """The head asks for spot GPUs without a price of its own, and on demand only for the fallback type."""
    asked = {
        node_type: (request["InstanceType"][0], request.get("InstanceMarketOptions.MarketType", ["on demand"])[0])
        for node_type in ("gpu_spot", "gpu_spot_newer", "gpu_on_demand")
        for request in [of_type(story, node_type)]
    }

    assert asked == {
        "gpu_spot": ("g4dn.xlarge", "spot"),
        "gpu_spot_newer": ("g5.xlarge", "spot"),
        "gpu_on_demand": ("g4dn.xlarge", "on demand"),
    }
    assert of_type(story, "gpu_spot")["InstanceMarketOptions.SpotOptions.SpotInstanceType"] == ["one-time"]
    assert not any("MaxPrice" in key for request in story.requests for key in request)
    for node_type in asked:
        assert of_type(story, node_type)["IamInstanceProfile.Name"] == ["polarmap-worker"]


def test_every_node_is_private_encrypted_and_tagged(account, story):
    """Head and workers: private subnet, the template's group alone, metadata version 2, encrypted disk, tags."""
    outputs = outputs_of(account)
    assert len(story.requests) == 4
    for request in story.requests:
        assert request["SubnetId"][0] in outputs["SubnetIds"].split(", ")
        assert [value for key, value in request.items() if key.startswith("SecurityGroupId")] == [
            [outputs["SecurityGroupIds"]]
        ]
        assert request["MetadataOptions.HttpTokens"] == ["required"]
        assert request["MetadataOptions.HttpPutResponseHopLimit"] == ["1"]
        assert request["BlockDeviceMapping.1.Ebs.Encrypted"] == ["true"]
        assert request["BlockDeviceMapping.1.Ebs.DeleteOnTermination"] == ["true"]
        tags = {
            value[0] for key, value in request.items() if re.fullmatch(r"TagSpecification\.\d+\.Tag\.\d+\.Value", key)
        }
        assert "polarmap" in tags
        assert request["TagSpecification.2.ResourceType"] == ["volume"]
    assert len(story.running) == 4
    assert all("PublicIpAddress" not in instance for instance in story.running)
    assert all(volume["Encrypted"] for volume in story.volumes)


def test_ray_makes_no_role_and_no_group_of_its_own(story):
    """Ray's FullAccess role and its group with port 22 open to the world are never made."""
    assert story.roles == {"polarmap-head", "polarmap-worker"}
    assert story.groups == set()


def test_the_group_lets_nobody_in_but_its_own_nodes(account, story):
    """No address outside the cluster may open a connection to a node."""
    (group,) = account.client("ec2").describe_security_groups(GroupIds=[outputs_of(account)["SecurityGroupIds"]])[
        "SecurityGroups"
    ]

    for rule in group["IpPermissions"]:
        assert rule["IpRanges"] == rule["Ipv6Ranges"] == rule["PrefixListIds"] == []
        assert [pair["GroupId"] for pair in rule["UserIdGroupPairs"]] == [group["GroupId"]]


def test_the_laptop_reaches_the_head_by_its_name_over_session_manager(story, laptop):
    """Every connection goes to the instance's id, through Session Manager, never to an address."""
    (head,) = [instance for instance in story.running if instance["InstanceType"] == "m6i.large"]
    connections = [call for call in laptop.calls("ssh") if any("@" in word for word in call)]

    assert connections
    for call in connections:
        assert f"ubuntu@{head['InstanceId']}" in call
        assert any(word.startswith("ProxyCommand=aws ssm start-session") for word in call)


def test_the_head_gets_wheel_pins_and_token_and_no_way_around(laptop, story):
    """The head has the wheel, its pins and the token 0600, and a file without the laptop's proxy; nothing else."""
    names = {path.name for path in laptop.head.rglob("*") if path.is_file()}
    config = head_file(laptop)
    token = next(laptop.head.rglob("auth_token"))

    assert names == {
        "polarmap_tune-0.1.0-py3-none-any.whl",
        "node_requirements.txt",
        "auth_token",
        "ray_bootstrap_config.yaml",
        "ray_bootstrap_key.pem",
    }
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert not {"ssh_proxy_command", "ssh_proxy_use_node_id"} & set(config["auth"])
    assert config["provider"]["use_internal_ips"] is True


def test_ray_is_started_closed_and_the_run_ends_the_head(laptop, story):
    """Ray starts with token, loopback dashboard, no statistics; a run with --stop ends workers, then the head."""
    said = [" ".join(call) for call in laptop.calls("ssh")]
    (start,) = [line for line in said if "ray start --head" in line]
    (join,) = [line for line in head_file(laptop)["worker_start_ray_commands"] if "ray start" in line]
    (run,) = [line for line in said if "polarmap run" in line]

    for command in (start, join):
        assert "RAY_AUTH_MODE=token" in command
        assert "RAY_USAGE_STATS_ENABLED=0" in command
    assert "--dashboard-host=127.0.0.1" in start
    assert "--num-cpus=0" in start
    assert run.index("polarmap run") < run.index("--workers-only") < run.index("sudo shutdown -h now")


def test_the_cluster_ends_by_itself(laptop, story):
    """The head is told its last hour before Ray starts on it, idle workers go after five minutes, four are the most."""
    said = [" ".join(call) for call in laptop.calls("ssh")]
    (bound,) = [number for number, line in enumerate(said) if "sudo shutdown --no-wall -h +4320" in line]
    (start,) = [number for number, line in enumerate(said) if "ray start --head" in line]
    config = head_file(laptop)

    assert bound < start
    assert (config["idle_timeout_minutes"], config["max_workers"]) == (5, 4)
    assert config["provider"]["cache_stopped_nodes"] is False


def test_the_head_may_look_for_workers_in_three_zones(account, laptop, story):
    """Where one zone has no spot the others are asked: every type keeps a subnet in each of three zones."""
    found = account.client("ec2").describe_subnets()["Subnets"]
    zones = {subnet["SubnetId"]: subnet["AvailabilityZone"] for subnet in found}

    for kind in head_file(laptop)["available_node_types"].values():
        assert len({zones[subnet] for subnet in kind["node_config"]["SubnetIds"]}) == 3


def test_no_secret_is_in_what_leaves_the_laptop_besides_its_own_file(laptop, story):
    """Token, ssh key and AWS keys stand in no call of EC2, no command line and not in the head's cluster file."""
    key = (laptop.folder / ".ssh" / "polarmap.pem").read_text(encoding="utf-8").splitlines()[1]
    token = (laptop.folder / ".ray" / "auth_token").read_text(encoding="utf-8")
    said = json.dumps([story.requests, laptop.calls("ssh"), laptop.calls("rsync"), head_file(laptop)])

    for secret in (key, token, laptop.environment["AWS_SECRET_ACCESS_KEY"]):
        assert len(secret) > 16
        assert secret not in said


def test_who_starts_clusters_may_look_at_what_is_left(account, laptop, story):
    """The guide's three listings work with the launcher's rights, and only the last still names ended instances."""
    keys = {"id": laptop.environment["AWS_ACCESS_KEY_ID"], "secret": laptop.environment["AWS_SECRET_ACCESS_KEY"]}
    tagged = [{"Name": "tag:project", "Values": ["polarmap"]}]
    states = {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]}
    compute = account.client("ec2", keys)

    assert compute.describe_instances(Filters=[*tagged, states])["Reservations"] == []
    assert compute.describe_volumes(Filters=tagged)["Volumes"] == []
    filters = [{"Key": "project", "Values": ["polarmap"]}]
    rest = account.client("resourcegroupstaggingapi", keys).get_resources(TagFilters=filters)
    assert not any(":volume/" in one["ResourceARN"] for one in rest["ResourceTagMappingList"])


def test_nothing_is_left_after_ray_down(story):
    """Every instance is terminated, and the documented listing by tag is empty."""
    assert len(story.after) == 4
    assert {instance["State"]["Name"] for instance in story.after} == {"terminated"}
    assert story.left == []


def test_workers_may_start_nothing(account, story):
    """A worker's credentials neither start nor end an instance."""
    compute = account.client("ec2", story.worker_keys)

    with pytest.raises(botocore.exceptions.ClientError, match="not authorized to perform"):
        compute.run_instances(ImageId="ami-1", InstanceType="g4dn.xlarge", MinCount=1, MaxCount=1)
    with pytest.raises(botocore.exceptions.ClientError, match="not authorized to perform"):
        compute.terminate_instances(InstanceIds=[story.after[0]["InstanceId"]])
