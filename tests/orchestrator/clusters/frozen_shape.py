"""Writes `run_instances.json` anew from the installed botocore; run it when the test of the frozen shape fails.

python tests/orchestrator/clusters/lint/frozen_shape.py
"""

import json
from pathlib import Path
from typing import Any

import botocore.session

FROZEN = Path(__file__).parents[3] / "orchestrator" / "clusters" / "lint" / "run_instances.json"
MOST_CHOICES = 12
"""Longer enumerations (a thousand instance types) grow every week; they are left open."""


def shape_of(shape: Any) -> Any:
    """A botocore shape as JSON: mappings, one-element lists, and the names of scalar types with their choices."""
    if shape.type_name == "structure":
        return {name: shape_of(member) for name, member in sorted(shape.members.items())}
    if shape.type_name == "list":
        return [shape_of(shape.member)]
    choices = getattr(shape, "enum", None) or []
    return "string: " + " | ".join(choices) if 0 < len(choices) <= MOST_CHOICES else shape.type_name


def run_instances() -> Any:
    """What EC2's RunInstances takes."""
    model = botocore.session.get_session().get_service_model("ec2")
    return shape_of(model.operation_model("RunInstances").input_shape)


if __name__ == "__main__":
    FROZEN.write_text(json.dumps(run_instances(), indent=1) + "\n", encoding="utf-8")
