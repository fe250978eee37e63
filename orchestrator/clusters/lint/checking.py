"""Every rule over one file."""

from pathlib import Path
from typing import Final

from orchestrator.clusters.lint import (
    aws,
    node_keys,
    old_form,
    private_hosts,
    ray_schema,
    secrets,
    sizes,
    start_commands,
    versions,
)
from orchestrator.clusters.lint.prices import price_bound
from orchestrator.clusters.lint.reading import read_cluster_file
from orchestrator.clusters.lint.records import Checked, Rule

RULES: Final[tuple[Rule, ...]] = (
    ray_schema.valid_for_ray,
    old_form.old_nodes,
    old_form.old_settings,
    node_keys.repeated_keys,
    node_keys.keys_that_are_no_text,
    node_keys.provider_keys,
    node_keys.node_config_keys,
    sizes.worker_numbers,
    sizes.head_type,
    sizes.cost_bound,
    aws.node_types_given,
    aws.launch_templates,
    aws.security_groups,
    aws.profiles,
    aws.metadata_service,
    aws.volumes,
    aws.images,
    aws.addresses,
    aws.stopped_nodes,
    aws.spot,
    aws.head_end,
    aws.placeholders,
    start_commands.start_commands_given,
    start_commands.dashboard,
    start_commands.token,
    start_commands.usage_statistics,
    start_commands.autoscaling,
    versions.nightly,
    versions.ray_version,
    versions.python_version,
    versions.image_pinned,
    secrets.secrets,
    secrets.mounts,
    secrets.host_keys,
    private_hosts.hosts,
    private_hosts.host_numbers,
    private_hosts.node_types_forbidden,
    private_hosts.user,
    private_hosts.autoscaler,
)


def check_cluster_file(path: Path) -> Checked:
    """Judge a Ray cluster file, without Ray, a network or an account.

    Args:
        path: The file.

    Returns:
        Its findings from top to bottom, and what it can cost an hour.

    Raises:
        ExperimentError: The file cannot be read as YAML.
    """
    file = read_cluster_file(path)
    findings = dict.fromkeys(found for rule in RULES for found in rule(file))
    return Checked(
        name=path.name,
        findings=tuple(sorted(findings, key=lambda found: (found.line, found.rule, found.place))),
        price=price_bound(file),
    )
