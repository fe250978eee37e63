"""The map of the code is a map of this code."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PACKAGES = ("polarmap", "orchestrator", "search_spaces", "mpi_model")
NAMED = re.findall(r"`((?:polarmap|orchestrator|search_spaces|mpi_model)/[\w./]*)`", PAGE)


def defined(path: Path) -> set[str]:
    """Every function, class, method and field of a module."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return names


@pytest.mark.parametrize("name", sorted(set(NAMED)))
def test_every_file_and_room_that_the_page_names_is_there(name):
    """A newcomer who opens what the page names finds it."""
    assert (ROOT / name).exists()


def test_every_room_of_the_tree_is_on_the_page():
    """No folder with code is missing from the table of rooms."""
    rooms = {
        f"{folder.relative_to(ROOT)}/"
        for package in PACKAGES
        for folder in [ROOT / package, *(ROOT / package).rglob("*")]
        if (folder / "__init__.py").is_file()
    }
    table = set(re.findall(r"^\| `([\w/]+/)` \|", PAGE, flags=re.M))
    assert table == rooms


@pytest.mark.parametrize(
    ("function", "module"), sorted(set(re.findall(r"`(?:\w+\.)?(\w+)`\s+\(`([\w/]+\.py)`\)", PAGE)))
)
def test_every_step_of_the_walk_is_in_the_module_that_is_named_for_it(function, module):
    """A function that was renamed or moved is renamed and moved on the page, too."""
    assert function in defined(ROOT / module)


def test_every_step_of_the_line_is_a_function_or_a_class():
    """The first column of the run's table names the code."""
    line = PAGE.split("## The line of a run")[1].split("## ")[0]
    steps = [row.split("|")[1] for row in line.splitlines() if row.startswith("| ") and not row.startswith("| step")]
    names = {name for step in steps for name in re.findall(r"`(?:\w+\.)?(\w+)`", step)}
    known = {name for package in PACKAGES for path in (ROOT / package).rglob("*.py") for name in defined(path)}

    assert len(steps) >= 9
    assert len(names) >= 12
    assert {name for name in names if name not in known} == set()
