"""The frozen list of what EC2's RunInstances takes."""

import importlib.util
import json
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


def test_the_frozen_list_is_the_installed_one():
    """The linter knows exactly the keys and choices that the pinned botocore would send."""
    pytest.importorskip("botocore", reason="the developers' environment holds botocore")
    spec = importlib.util.spec_from_file_location("frozen_shape", HERE / "frozen_shape.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    assert json.loads(module.FROZEN.read_text(encoding="utf-8")) == module.run_instances()
