"""README and documentation: what they tell a reader to type is typed here."""

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import polarmap
from orchestrator.cli import main, parser

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted(ROOT.glob("docs/*.md")),
    *sorted(ROOT.glob("examples/*/README.md")),
]
IN_THIS_PROCESS = ["--runner", "inline", "--progress", "none"]
"""Ray has tests of its own; here the words count."""


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """Fenced blocks: the line behind the fence, and the text."""
    fenced = re.finditer(r"^ *```([^\n`]*)\n(.*?)^ *```$", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    yield from ((match[1].strip(), match[2]) for match in fenced)


def commands_in(text: str) -> list[list[str]]:
    """The words of every polarmap command of a block, without comments; a backslash joins lines."""
    lines = (line.strip() for line in text.replace("\\\n", " ").splitlines())
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("polarmap ")]


def follow(page: Path, prepared: dict[str, str] | None = None) -> list[str]:
    """Type a page's commands and Python blocks, in order, in this folder.

    Args:
        page: The page.
        prepared: By verb, the text that takes the place of `experiment.toml` after it: the step that a page describes.

    Returns:
        The verbs typed.
    """
    names: dict[str, object] = {}
    typed = []
    for kind, text in blocks(page):
        if named := re.fullmatch(r'toml title="(.+)"', kind):
            Path(named[1]).write_text(text)
        elif kind == "python":
            exec(compile(text, str(page), "exec"), names)
        elif not kind:
            for words in commands_in(text):
                assert main([*words, *(IN_THIS_PROCESS if words[0] == "run" else [])]) == 0, words
                typed.append(words[0])
                if words[0] in (prepared or {}):
                    Path("experiment.toml").write_text((prepared or {})[words[0]])
    return typed


@pytest.fixture(scope="module")
def finished(tmp_path_factory, make_tiny):
    """A folder with the tiny cohort and its run, opened, under the names that pages use."""
    experiment = make_tiny(tmp_path_factory.mktemp("documents"))
    polarmap.run(experiment, {"name": "thessaly"}, open_test=True, runner="inline", progress="none")
    return experiment.parent


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_of_a_page_is_code_of_its_kind(page):
    """Python blocks are Python, and the words of every polarmap command are understood."""
    for kind, text in blocks(page):
        if kind.startswith("python"):
            ast.parse(text)
        elif not kind or kind in ("sh", "bash", "console"):
            for words in commands_in(text):
                if "--print-completion" not in words:  # prints a script and ends
                    parser().parse_args([word for word in words if word != "…"])


@pytest.mark.thorough
def test_the_readme_can_be_followed(make_tiny, tmp_path, monkeypatch, capsys):
    """The run on one's own cohort, as the README has it, goes from `init` to the report and to Python."""
    ours = make_tiny(tmp_path).read_text().replace('name = "tiny"', 'name = "my-experiment"')
    (tmp_path / "experiment.toml").unlink()
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "README.md").read_text()
    (tmp_path / "own.md").write_text(text[text.index("## Your own cohort") : text.index("## Real patients")])

    typed = follow(tmp_path / "own.md", {"init": ours})
    assert typed == ["init", "check", "plan", "run", "run", "report"]
    assert "AUC" in capsys.readouterr().out


@pytest.mark.thorough
def test_the_tutorial_can_be_followed(tmp_path, monkeypatch, capsys):
    """A newcomer who types the tutorial gets from nothing to a report with an opened test."""
    monkeypatch.chdir(tmp_path)
    assert follow(ROOT / "docs" / "tutorial.md") == ["synth", "check", "plan", "run", "run", "report"]
    printed = capsys.readouterr().out
    assert "Tc-99m" in printed
    assert "Tl-201" in printed
    assert polarmap.open_run("runs/first").status()["state"] == "finished"
    assert (tmp_path / "cohort.png").exists()


@pytest.mark.parametrize("page", [pytest.param("python.md", marks=pytest.mark.thorough), "tables.md"])
def test_python_blocks_run(page, finished, tmp_path, monkeypatch, capsys):
    """The Python blocks of these pages run on a finished run."""
    shutil.copytree(finished, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    ran = [text for kind, text in blocks(ROOT / "docs" / page) if kind == "python"]
    names: dict[str, object] = {}
    for text in ran:
        exec(compile(text, page, "exec"), names)
    assert len(ran) >= 2


def test_the_readme_is_one_page():
    """A reader gets through the README in three minutes; the rest is documentation."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 700


def test_the_site_builds_without_a_warning(tmp_path):
    """Every page is in the navigation, every link and anchor leads somewhere, every public name is described."""
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    assert built.returncode == 0, built.stdout + built.stderr
    api = (tmp_path / "site" / "api" / "index.html").read_text()
    for name in polarmap.__all__:
        assert f'id="polarmap.{name}"' in api, name
    settings = (tmp_path / "site" / "settings" / "index.html").read_text()
    assert "<code>inner_folds</code>" in settings
    commands = (tmp_path / "site" / "commands" / "index.html").read_text()
    assert "--retry-failed" in commands
