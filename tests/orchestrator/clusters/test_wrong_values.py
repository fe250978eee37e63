"""Whatever stands where something else was expected, the linter answers."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.clusters.lint.checking import _RULES
from orchestrator.clusters.lint.prices import price_bound
from orchestrator.clusters.lint.reading import ClusterFile, read_cluster_file
from orchestrator.clusters.lint.records import Finding

HERE = Path(__file__).resolve().parent
WRONG = (None, -1, 2.5, "word", [None], [[1]], {}, {3: {4: 5}})


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a file's settings but the top."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in inner:
        yield (*place, key)
        yield from places(child, (*place, key))


def with_value(file: ClusterFile, place: tuple[Any, ...], value: Any) -> ClusterFile:
    settings: Any = copy.deepcopy(file.settings)
    holder = settings
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    return ClusterFile(path=file.path, settings=settings, lines=file.lines, text=file.text)


@pytest.mark.parametrize("name", ["clean_aws", "clean_local"])
def test_no_value_anywhere_makes_the_linter_fail(name):
    """Each value of a clean file in turn becomes something else: there are findings or none, never a traceback."""
    file = read_cluster_file(HERE / f"{name}.yaml")
    tried = 0
    for place in places(file.settings):
        for value in WRONG:
            wrong = with_value(file, place, value)
            try:
                found = [one for rule in _RULES for one in rule(wrong)]
                price_bound(wrong)
            except Exception as error:
                raise AssertionError(f"{place} = {value!r}") from error
            assert all(isinstance(one, Finding) and one.line >= 1 for one in found)
            tried += 1
    assert tried > 100
