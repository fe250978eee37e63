"""What Ray's AWS launcher leaves open, unencrypted or running unless the file says otherwise."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from orchestrator.clusters.lint.reading import ClusterFile, Place
from orchestrator.clusters.lint.records import Finding, finding
from orchestrator.clusters.lint.start_commands import commands

_WORLD: Final = ("0.0.0.0/0", "::/0")
_ON_THE_HEAD: Final = ("initialization_commands", "setup_commands", "head_setup_commands", "head_start_ray_commands")
_PLACEHOLDER: Final = "0" * 17
"""Ids of zeros stand for what the network template prints."""


def _configs(file: ClusterFile) -> Iterator[tuple[str, Place, Mapping[str, Any]]]:
    """Every node type's name, the place of its `node_config`, and that; a launch template may hold the rest."""
    for name in file.node_types if file.provider == "aws" else ():
        place = ("available_node_types", name, "node_config")
        if "LaunchTemplate" not in file.mapping(*place):
            yield name, place, file.mapping(*place)


def node_types_given(file: ClusterFile) -> Iterator[Finding]:
    """Ray's own node types have neither a group nor profiles of yours."""
    if file.provider == "aws" and not file.node_types:
        problem = "no node types of yours: Ray's own have port 22 open to the world and a FullAccess role on the head"
        yield finding(
            file, "error", "default-nodes", ("available_node_types",), problem, "write them; see cluster.yaml"
        )


def launch_templates(file: ClusterFile) -> Iterator[Finding]:
    """Node types whose settings stand in AWS, where this check cannot read them."""
    for name in file.node_types if file.provider == "aws" else ():
        place = ("available_node_types", name, "node_config", "LaunchTemplate")
        if file.at(*place) is not None:
            problem = "a launch template holds settings that are not in this file; they were not checked"
            yield finding(file, "note", "launch-template", place, problem, "check them in AWS")


def security_groups(file: ClusterFile) -> Iterator[Finding]:
    """SSH open to everyone: asked for, or by Ray's own group."""
    for name, place, config in _configs(file):
        if not config.get("SecurityGroupIds") and "NetworkInterfaces" not in config:
            problem = f"{name} has no SecurityGroupIds, so Ray makes a group with port 22 open to the world"
            yield finding(file, "error", "world-open-ssh", place, problem, "add SecurityGroupIds: [sg-…]")
    permissions = file.at("provider", "security_group", "IpPermissions")
    for number, rule in enumerate(permissions if isinstance(permissions, list) else ()):
        ranges = [*_list(rule, "IpRanges"), *_list(rule, "Ipv6Ranges")]
        if any(address in _WORLD for entry in ranges if isinstance(entry, Mapping) for address in entry.values()):
            place = ("provider", "security_group", "IpPermissions", number)
            problem = "this rule lets the whole world in"
            yield finding(file, "error", "world-open-ssh", place, problem, "name your own network, or connect over SSM")


def _list(rule: object, key: str) -> list[Any]:
    value = rule.get(key) if isinstance(rule, Mapping) else None
    return value if isinstance(value, list) else []


def profiles(file: ClusterFile) -> Iterator[Finding]:
    """What the nodes may do in AWS."""
    head = file.mapping("available_node_types", file.head_type, "node_config").get("IamInstanceProfile")
    for name, place, config in _configs(file):
        profile = config.get("IamInstanceProfile")
        if profile is None and name == file.head_type:
            problem = "no profile: Ray makes a role with EC2 and S3 FullAccess for the head"
            yield finding(file, "error", "no-profile", place, problem, "add IamInstanceProfile; see cluster/aws")
        elif profile is None:
            problem = f"no profile: {name} cannot reach the runs in S3"
            yield finding(file, "warning", "no-profile", place, problem, "add IamInstanceProfile; see cluster/aws")
        elif profile == head and name != file.head_type:
            place = (*place, "IamInstanceProfile")
            problem = f"{name} has the head's profile, and may start instances"
            yield finding(file, "warning", "shared-profile", place, problem, "give workers a profile of their own")


def metadata_service(file: ClusterFile) -> Iterator[Finding]:
    """Version 1 of the metadata service hands the node's credentials to any process that can fetch a URL."""
    for name, place, config in _configs(file):
        options = config.get("MetadataOptions")
        if not isinstance(options, Mapping) or options.get("HttpTokens") != "required":
            problem = f"{name} answers version 1 metadata requests, which hand out its credentials"
            remedy = "add MetadataOptions: {HttpTokens: required}"
            yield finding(file, "warning", "imds-v1", (*place, "MetadataOptions"), problem, remedy)


def volumes(file: ClusterFile) -> Iterator[Finding]:
    """Disks that keep patients' maps in the clear: the root volume, and each one that is named."""
    for name, place, config in _configs(file):
        mappings = config.get("BlockDeviceMappings")
        if not isinstance(mappings, list) or not mappings:
            problem = f"{name} takes the image's volume as it is, unencrypted unless the account insists"
            remedy = "add BlockDeviceMappings with Ebs: {Encrypted: true}"
            yield finding(file, "warning", "unencrypted-volume", place, problem, remedy)
            continue
        for number, mapping in enumerate(mappings):
            volume = mapping.get("Ebs") if isinstance(mapping, Mapping) else None
            if isinstance(volume, Mapping) and volume.get("Encrypted") is not True:
                at = (*place, "BlockDeviceMappings", number, "Ebs")
                problem = f"a volume of {name} is not encrypted"
                yield finding(file, "warning", "unencrypted-volume", at, problem, "add Encrypted: true")


def images(file: ClusterFile) -> Iterator[Finding]:
    """Machine images that nobody chose."""
    for name, place, config in _configs(file):
        if str(config.get("ImageId") or "latest_dlami").lower() == "latest_dlami":
            problem = f"{name} gets Ray's default image: Ubuntu 18.04 with CUDA 11.2"
            yield finding(file, "warning", "default-image", (*place, "ImageId"), problem, "add ImageId: ami-…")


def addresses(file: ClusterFile) -> Iterator[Finding]:
    """Nodes with public addresses."""
    if file.provider == "aws" and file.at("provider", "use_internal_ips") is not True:
        problem = "nodes are reached at public addresses"
        remedy = "add use_internal_ips: true and private subnets"
        yield finding(file, "warning", "public-addresses", ("provider", "use_internal_ips"), problem, remedy)
    for name, place, config in _configs(file):
        interfaces = config.get("NetworkInterfaces")
        for number, interface in enumerate(interfaces if isinstance(interfaces, list) else ()):
            if isinstance(interface, Mapping) and interface.get("AssociatePublicIpAddress") is True:
                at = (*place, "NetworkInterfaces", number, "AssociatePublicIpAddress")
                yield finding(file, "warning", "public-addresses", at, f"{name} gets a public address", "write false")


def stopped_nodes(file: ClusterFile) -> Iterator[Finding]:
    """Nodes that are stopped instead of terminated keep their disks, and the bill for them."""
    if file.provider == "aws" and file.at("provider", "cache_stopped_nodes") is not False:
        problem = "nodes are stopped, not terminated: their disks stay, with what is on them and their price"
        place = ("provider", "cache_stopped_nodes")
        yield finding(file, "warning", "stopped-nodes", place, problem, "add cache_stopped_nodes: false")


def spot(file: ClusterFile) -> Iterator[Finding]:
    """Spot where it hurts, or without anything to fall back on."""
    kinds = {name: _is_spot(config) for name, _, config in _configs(file)}
    place = ("available_node_types", file.head_type, "node_config")
    if kinds.get(file.head_type):
        at = (*place, "InstanceMarketOptions")
        problem = "the head is a spot instance; when AWS takes it, the cluster is gone"
        yield finding(file, "warning", "spot-head", at, problem, "take InstanceMarketOptions out of the head's type")
    workers = {name: is_spot for name, is_spot in kinds.items() if name != file.head_type}
    if workers and all(workers.values()):
        problem = "every worker type is spot; while AWS has none of them, the run waits"
        yield finding(file, "note", "spot-only", ("available_node_types",), problem, "add an on-demand type after them")


def _is_spot(config: Mapping[str, Any]) -> bool:
    options = config.get("InstanceMarketOptions")
    return isinstance(options, Mapping) and options.get("MarketType") == "spot"


def head_end(file: ClusterFile) -> Iterator[Finding]:
    """An idle head is never removed by Ray; it can only end itself."""
    for name, place, config in _configs(file):
        if name == file.head_type and config.get("InstanceInitiatedShutdownBehavior") != "terminate":
            problem = "a head that shuts itself down stays, stopped, with its disk"
            remedy = "add InstanceInitiatedShutdownBehavior: terminate, and submit with ray exec --stop"
            yield finding(file, "note", "head-stays", place, problem, remedy)
    said = " ; ".join(command for _, command in commands(file, *_ON_THE_HEAD))
    if file.provider == "aws" and not re.search(r"\bshutdown\b", said):
        problem = "Ray never removes the head, and no command of the file ends it: a forgotten one is paid for ever"
        remedy = "add sudo shutdown -h +4320, which is three days, or submit with ray exec --stop"
        yield finding(file, "note", "head-unbounded", ("head_setup_commands",), problem, remedy)


def placeholders(file: ClusterFile) -> Iterator[Finding]:
    """Ids of zeros that wait to be filled in."""
    for number, line in enumerate(file.text.splitlines(), start=1):
        if _PLACEHOLDER in line.partition("#")[0]:
            yield Finding(
                severity="note",
                rule="placeholder",
                line=number,
                place="(text)",
                problem="an id of zeros is a placeholder",
                remedy="fill in what your network and image are called; see docs/cluster_aws.md",
            )
