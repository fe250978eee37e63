"""The documented table of the events of `run.log`, held against what the code and a run write."""

import ast
import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
EVERY_LINE = {"time", "level", "event", "message"}


def documented() -> dict[str, tuple[str, set[str]]]:
    """Level and further keys of each event, as the page has them."""
    page = (ROOT / "docs" / "following_a_run.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| (\w+) \| (.*) \|$", page, flags=re.M)
    return {
        event: (level, set(re.findall(r"`(\w+)`", keys)))
        for events, level, keys in rows
        for event in re.findall(r"`(\w+)`", events)
    }


def texts(node: ast.expr) -> list[str]:
    """A constant, or both sides of a choice; of `logging.INFO` the name."""
    if isinstance(node, ast.IfExp):
        return [*texts(node.body), *texts(node.orelse)]
    return [node.attr.lower()] if isinstance(node, ast.Attribute) else [str(ast.literal_eval(node))]


def written() -> dict[str, tuple[str, set[str]]]:
    """The same, from every call of `event` in the code; dictionaries come from functions that return them literally."""
    found: dict[str, tuple[str, set[str]]] = {}
    for path in sorted((ROOT / "orchestrator").rglob("*.py")):
        if "event(" not in path.read_text(encoding="utf-8"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        returned = {
            function.name: {str(ast.literal_eval(key)) for key in node.value.keys}
            for function in ast.walk(tree)
            if isinstance(function, ast.FunctionDef)
            for node in ast.walk(function)
            if isinstance(node, ast.Return) and isinstance(node.value, ast.Dict) and None not in node.value.keys
        }
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "event":
                keys = {item.arg for item in call.keywords if item.arg}
                for item in call.keywords:
                    if item.arg is None:
                        names = {node.id for node in ast.walk(item.value) if isinstance(node, ast.Name)}
                        keys |= set().union(*(returned.get(name, set()) for name in names))
                levels, events = texts(call.args[0]), texts(call.args[1])
                for place, name in enumerate(events):
                    found[name] = levels[min(place, len(levels) - 1)], keys
    return found


def test_the_page_names_every_event_with_its_level_and_keys_and_no_other():
    """Whoever reads the log by a program finds in the table what the code writes, key by key."""
    due = documented()
    assert due.pop("remark")
    found = written()
    assert len(found) > 12
    # A cell that ended well has no traceback, though one call writes both lines.
    found["cell_finished"] = found["cell_finished"][0], found["cell_finished"][1] - {"traceback"}
    assert found == due


def test_a_runs_log_has_the_documented_keys_and_enough_to_do_a_cell_again(finished, paths_of):
    """Every line of a real run is in the table; a cell's line names cell, attempt, worker, host and processor."""
    due = documented()
    lines = [json.loads(line) for line in paths_of(finished).log.read_bytes().splitlines()]
    for line in lines:
        level, keys = due[line["event"]]
        assert line["level"] == level
        assert set(line) - EVERY_LINE <= keys, line["event"]
    (first,) = [line for line in lines if line["event"] == "cell_started" and line["cell"] == "stress-r00-f0"]
    assert {"cell", "attempt", "worker", "host", "processor"} <= set(first)
    assert (first["attempt"], bool(first["worker"]), bool(first["host"]), bool(first["processor"])) == (
        1,
        True,
        True,
        True,
    )
