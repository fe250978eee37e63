"""What the autoscaler on the head does when cells wait: one worker of every type, through Ray's own launcher.

Called as `python head_launches.py BOOTSTRAP_CONFIG`, with the head's credentials in the environment.
"""

import sys
from pathlib import Path

import yaml
from ray.autoscaler._private.event_summarizer import EventSummarizer
from ray.autoscaler._private.node_launcher import BaseNodeLauncher
from ray.autoscaler._private.node_provider_availability_tracker import NodeProviderAvailabilityTracker
from ray.autoscaler._private.providers import _get_node_provider
from ray.autoscaler._private.util import ConcurrentCounter, prepare_config, validate_config

config = prepare_config(yaml.safe_load(Path(sys.argv[1]).read_text(encoding="utf-8")))
validate_config(config)
launcher = BaseNodeLauncher(
    provider=_get_node_provider(config["provider"], config["cluster_name"]),
    pending=ConcurrentCounter(),
    event_summarizer=EventSummarizer(),
    node_provider_availability_tracker=NodeProviderAvailabilityTracker(),
    session_name="none",
    node_types=config["available_node_types"],
)
for node_type in config["available_node_types"]:
    if node_type != config["head_node_type"]:
        launcher.pending.inc(node_type, 1)
        created = launcher.launch_node(config, 1, node_type)
        print(node_type, *(created or ()))
