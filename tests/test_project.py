"""The project itself: what is shipped, what starts fast, what the documents promise."""

import ast
import importlib
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mpi_model.errors
from mpi_model.errors import PolarmapError
from orchestrator.commands.verbs import VERBS

ROOT = Path(__file__).resolve().parents[1]


def every_error(root: type[PolarmapError] = PolarmapError) -> list[type[PolarmapError]]:
    """The whole tree, depth first."""
    return [root, *(leaf for child in root.__subclasses__() for leaf in every_error(child))]


@pytest.mark.parametrize("error", every_error())
def test_every_error_survives_its_way_from_a_worker(error):
    """Errors cross process lines: pickled and read back they are the same, problems and exit code included."""
    original = error("one rule was broken", "and another")
    copy = pickle.loads(pickle.dumps(original))

    assert type(copy) is error
    assert copy.problems == original.problems
    assert copy.exit_code == error.exit_code
    assert str(copy) == "one rule was broken\nand another"


def test_the_tree_that_is_drawn_is_the_tree_that_is():
    """The drawing in the module names every error, in order, with its exit code."""
    drawn = re.findall(r"(\w+Error)\s+(\d)", mpi_model.errors.__doc__)

    assert drawn == [(error.__name__, str(error.exit_code)) for error in every_error()]


@pytest.mark.skipif("POLARMAP_TEST_INSTALLED" not in os.environ, reason="set by `make test`")
def test_what_is_tested_is_what_is_shipped():
    """`make test` tests the installed wheel, with its data files, and not the source folder."""
    for package in ("polarmap", "orchestrator", "mpi_model", "search_spaces"):
        folder = Path(str(importlib.import_module(package).__file__)).parent
        assert not folder.is_relative_to(ROOT) or any(part.startswith(".venv") for part in folder.parts)
        assert (folder / "py.typed").exists()


def test_help_waits_for_nothing():
    """`polarmap --help` has no torch, no Ray, no pandas in memory."""
    code = (
        "import sys; from orchestrator.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print({'torch', 'ray', 'pandas', 'numpy', 'optuna'} & set(sys.modules), file=sys.stderr)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert found.stderr.strip() == "set()"
    assert "polarmap" in found.stdout


@pytest.mark.parametrize("verb", ["check", "plan"])
def test_what_trains_nothing_imports_neither_torch_nor_ray(verb, tiny, command_without):
    """`check` and `plan` answer in a moment on a laptop: torch and Ray stay out of memory."""
    found = command_without([verb, tiny], "torch", "ray")

    assert found.returncode == 0, found.stderr
    assert "no problems" in found.stdout


def test_every_verb_has_its_command():
    """No verb of the command line points at a function that is not there."""
    for name, _, (module, function), _ in VERBS:
        assert callable(getattr(importlib.import_module(f"orchestrator.commands.{module}"), function)), name


def test_every_link_in_the_documents_leads_somewhere():
    """No relative link of the README or the docs is dead."""
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_test_says_what_it_protects():
    """Each test function opens with a sentence."""
    silent = [
        f"{path.name}:{node.name}"
        for path in ROOT.glob("tests/**/test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and not ast.get_docstring(node)
    ]
    assert silent == []


def test_nothing_is_unpickled_that_a_user_could_have_written():
    """No module of the packages unpickles; arrays and weights are read by readers that cannot run code."""
    for package in ("polarmap", "orchestrator", "mpi_model", "search_spaces"):
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"\bpickle\.loads?\(|read_pickle|allow_pickle=True|weights_only=False", text), path
