"""Rules for AWS: what Ray's launcher leaves open, unencrypted or running unless the file sets it."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from orchestrator.clusters.lint.node_types import asks_for_spot
from orchestrator.clusters.lint.reading import ClusterFile, Place
from orchestrator.clusters.lint.records import Finding, finding

_ANYWHERE: Final = ("0.0.0.0/0", "::/0")
_HEAD_COMMANDS: Final = ("initialization_commands", "setup_commands", "head_setup_commands", "head_start_ray_commands")
# Ids of zeros mark in cluster.yaml what each account fills in.
_PLACEHOLDER: Final = "0" * 17


def _node_configs(file: ClusterFile) -> Iterator[tuple[str, Place, Mapping[str, Any]]]:
    """Name, place and `node_config` of every type, without those whose settings are in a launch template."""
    for name in file.node_types if file.provider == "aws" else ():
        place = ("available_node_types", name, "node_config")
        if "LaunchTemplate" not in file.mapping(*place):
            yield name, place, file.mapping(*place)


def _node_types(file: ClusterFile) -> Iterator[Finding]:
    """Ray's default node types have neither a security group nor instance profiles of the account."""
    if file.provider == "aws" and not file.node_types:
        problem = "no node types: Ray's defaults open port 22 to everyone and give the head a FullAccess role"
        yield finding(file, "error", "default-nodes", ("available_node_types",), problem, "add them; see cluster.yaml")


def _launch_templates(file: ClusterFile) -> Iterator[Finding]:
    """Node types whose settings are stored in AWS."""
    for name in file.node_types if file.provider == "aws" else ():
        place = ("available_node_types", name, "node_config", "LaunchTemplate")
        if file.at(*place) is not None:
            problem = "a launch template holds settings that are not in this file; they were not checked"
            yield finding(file, "note", "launch-template", place, problem, "check them in AWS")


def _security_groups(file: ClusterFile) -> Iterator[Finding]:
    """SSH open to everyone, by a rule of the file or by Ray's default group."""
    for name, place, config in _node_configs(file):
        # NetworkInterfaces name their own groups.
        if not config.get("SecurityGroupIds") and "NetworkInterfaces" not in config:
            problem = f"{name} has no SecurityGroupIds, so that Ray makes a group with port 22 open to everyone"
            yield finding(file, "error", "world-open-ssh", place, problem, "add SecurityGroupIds: [sg-…]")
    place = ("provider", "security_group", "IpPermissions")
    for number, rule in enumerate(file.items(*place)):
        if isinstance(rule, Mapping) and any(address in _ANYWHERE for address in _addresses_in(rule)):
            problem = "this rule admits every address"
            remedy = "name your own network, or connect with Session Manager"
            yield finding(file, "error", "world-open-ssh", (*place, number), problem, remedy)


def _addresses_in(rule: Mapping[str, Any]) -> Iterator[object]:
    for key in ("IpRanges", "Ipv6Ranges"):
        ranges = rule.get(key)
        for entry in ranges if isinstance(ranges, list) else ():
            yield from entry.values() if isinstance(entry, Mapping) else ()


def _profiles(file: ClusterFile) -> Iterator[Finding]:
    """Instance profiles: the rights of the nodes in AWS."""
    head = file.mapping("available_node_types", file.head_type, "node_config").get("IamInstanceProfile")
    for name, place, config in _node_configs(file):
        profile = config.get("IamInstanceProfile")
        if profile is None and name == file.head_type:
            problem = "no profile: Ray makes a role with EC2 and S3 FullAccess for the head"
            yield finding(file, "error", "no-profile", place, problem, "add IamInstanceProfile; see cluster/aws")
        elif profile is None:  # Ray makes a role for the head only
            problem = f"no profile: {name} cannot reach the runs in S3"
            yield finding(file, "warning", "no-profile", place, problem, "add IamInstanceProfile; see cluster/aws")
        elif profile == head and name != file.head_type:
            place = (*place, "IamInstanceProfile")
            problem = f"{name} has the head's profile, and may start instances"
            yield finding(file, "warning", "shared-profile", place, problem, "give workers a separate profile")


def _metadata_service(file: ClusterFile) -> Iterator[Finding]:
    """The metadata service, whose version 1 gives the node's credentials to any process that can fetch a URL."""
    for name, place, config in _node_configs(file):
        options = config.get("MetadataOptions")
        if not isinstance(options, Mapping) or options.get("HttpTokens") != "required":
            problem = f"{name} answers metadata requests of version 1, which give out its credentials"
            remedy = "add MetadataOptions: {HttpTokens: required}"
            yield finding(file, "warning", "imds-v1", (*place, "MetadataOptions"), problem, remedy)


def _volumes(file: ClusterFile) -> Iterator[Finding]:
    """Volumes that would store patients' maps without encryption: the root volume and every named one."""
    for name, place, config in _node_configs(file):
        mappings = config.get("BlockDeviceMappings")
        if not isinstance(mappings, list) or not mappings:
            problem = f"{name} uses the image's volume, which is encrypted only if the account enforces it"
            remedy = "add BlockDeviceMappings with Ebs: {Encrypted: true}"
            yield finding(file, "warning", "unencrypted-volume", place, problem, remedy)
            continue
        for number, mapping in enumerate(mappings):
            volume = mapping.get("Ebs") if isinstance(mapping, Mapping) else None
            if isinstance(volume, Mapping) and volume.get("Encrypted") is not True:
                at = (*place, "BlockDeviceMappings", number, "Ebs")
                problem = f"a volume of {name} is not encrypted"
                yield finding(file, "warning", "unencrypted-volume", at, problem, "add Encrypted: true")


def _images(file: ClusterFile) -> Iterator[Finding]:
    """Machine images that Ray chooses."""
    for name, place, config in _node_configs(file):
        # Ray 2.60 replaces both a missing ImageId and the word latest_dlami.
        if str(config.get("ImageId") or "latest_dlami").lower() == "latest_dlami":
            problem = f"{name} gets Ray's default image: Ubuntu 18.04 with CUDA 11.2"
            yield finding(file, "warning", "default-image", (*place, "ImageId"), problem, "add ImageId: ami-…")


def _addresses(file: ClusterFile) -> Iterator[Finding]:
    """Nodes with public addresses."""
    if file.provider == "aws" and file.at("provider", "use_internal_ips") is not True:
        problem = "nodes are reached at public addresses"
        remedy = "add use_internal_ips: true and private subnets"
        yield finding(file, "warning", "public-addresses", ("provider", "use_internal_ips"), problem, remedy)
    for name, place, _ in _node_configs(file):
        for number, interface in enumerate(file.items(*place, "NetworkInterfaces")):
            if isinstance(interface, Mapping) and interface.get("AssociatePublicIpAddress") is True:
                at = (*place, "NetworkInterfaces", number, "AssociatePublicIpAddress")
                yield finding(file, "warning", "public-addresses", at, f"{name} gets a public address", "write false")


def _stopped_nodes(file: ClusterFile) -> Iterator[Finding]:
    """Nodes that are stopped instead of terminated."""
    if file.provider == "aws" and file.at("provider", "cache_stopped_nodes") is not False:
        problem = "nodes are stopped, not terminated: their disks with all data remain, and are paid for"
        place = ("provider", "cache_stopped_nodes")
        yield finding(file, "warning", "stopped-nodes", place, problem, "add cache_stopped_nodes: false")


def _spot(file: ClusterFile) -> Iterator[Finding]:
    """A spot head, or spot workers without an on-demand type."""
    is_spot = {name: asks_for_spot(file, name) for name, _, _ in _node_configs(file)}
    place = ("available_node_types", file.head_type, "node_config")
    if is_spot.get(file.head_type):
        at = (*place, "InstanceMarketOptions")
        problem = "the head is a spot instance; if AWS reclaims it, the cluster ends"
        yield finding(file, "warning", "spot-head", at, problem, "remove InstanceMarketOptions from the head's type")
    # Ray tries the types in the order of the file, so that a later on-demand type is used when spot is out.
    workers = [spot for name, spot in is_spot.items() if name != file.head_type]
    if workers and all(workers):
        problem = "every worker type is spot; while AWS has none of them, the run waits"
        yield finding(file, "note", "spot-only", ("available_node_types",), problem, "add an on-demand type after them")


def _head_shutdown(file: ClusterFile) -> Iterator[Finding]:
    """A head without an end. Ray removes idle workers, but never the head."""
    for name, place, config in _node_configs(file):
        if name == file.head_type and config.get("InstanceInitiatedShutdownBehavior") != "terminate":
            problem = "after a shutdown the head is stopped, not terminated, and its disk remains"
            remedy = "add InstanceInitiatedShutdownBehavior: terminate, and submit with ray exec --stop"
            yield finding(file, "note", "head-stays", place, problem, remedy)
    # Any command of the head may schedule its shutdown.
    all_commands = " ; ".join(command for _, command in file.commands(*_HEAD_COMMANDS))
    if file.provider == "aws" and not re.search(r"\bshutdown\b", all_commands):
        problem = "Ray never removes the head, and no command of the file shuts it down: its cost has no limit"
        remedy = "add sudo shutdown -h +4320, which is three days, or submit with ray exec --stop"
        yield finding(file, "note", "head-unbounded", ("head_setup_commands",), problem, remedy)


def _gpu_workers(file: ClusterFile) -> Iterator[Finding]:
    """Workers with GPUs that join without a test: one whose driver does not work is seen only when a cell is sent."""
    gpus = [name for name in file.node_types if file.integer("available_node_types", name, "resources", "GPU")]
    commands = " ; ".join(command for _, command in file.commands("worker_start_ray_commands"))
    if file.provider == "aws" and gpus and commands and "gpu_check" not in commands:
        problem = (
            "no command tests CUDA before a worker joins; one that cannot compute is refused only at its first cell"
        )
        remedy = "add python -m orchestrator.clusters.gpu_check before ray start; see cluster.yaml"
        yield finding(file, "note", "no-gpu-check", ("worker_start_ray_commands",), problem, remedy)


def _logs(file: ClusterFile) -> Iterator[Finding]:
    """Ray's logs, which end with their instance."""
    for key in ("head_start_ray_commands", "worker_start_ray_commands") if file.provider == "aws" else ():
        if file.at(key) and not any("ship_logs" in command for _, command in file.commands(key)):
            problem = "Ray's logs are only on the instance, and gone with it"
            remedy = "add python -m orchestrator.storage.ship_logs after ray start; see cluster.yaml"
            yield finding(file, "note", "logs-lost", (key,), problem, remedy)


def _placeholders(file: ClusterFile) -> Iterator[Finding]:
    """Ids of zeros that have to be filled in."""
    for number, line in enumerate(file.text.splitlines(), start=1):
        if _PLACEHOLDER in line.partition("#")[0]:
            yield Finding(
                severity="note",
                rule="placeholder",
                line=number,
                place="(text)",
                problem="an id of zeros is a placeholder",
                remedy="fill in the id of your network or image; see docs/cluster_aws.md",
            )


RULES: Final = (
    _node_types,
    _launch_templates,
    _security_groups,
    _profiles,
    _metadata_service,
    _volumes,
    _images,
    _addresses,
    _stopped_nodes,
    _spot,
    _head_shutdown,
    _gpu_workers,
    _logs,
    _placeholders,
)
