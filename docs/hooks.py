"""What the documentation site writes itself: settings and commands from the code, and the pages of the root folder.

A page holds a marker, `<!-- settings -->`, where a table belongs. So there is one place for each fact: the records, the
command line's parser, README.md, CHANGELOG.md.
"""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from orchestrator.cli import parser
from orchestrator.experiment.schema import experiment_schema

ROOT = Path(__file__).resolve().parents[1]
FROM_THE_ROOT = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The pages of the root folder belong to the site, too."""
    for name in FROM_THE_ROOT:
        files.append(File.generated(config, name, content=(ROOT / name).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill the markers; a link that leaves docs/ for a file of the repository becomes its name."""
    for marker, written in (("readme", _readme), ("settings", settings_page), ("commands", commands_page)):
        if f"<!-- {marker} -->" in markdown:
            markdown = markdown.replace(f"<!-- {marker} -->", written())
    if page.file.src_uri in FROM_THE_ROOT:
        markdown = markdown.replace("](docs/", "](")
    return re.sub(r"\[([^\]]+)\]\((?:\.\./[^)]*|examples/[^)]*|[\w./-]+\.(?:cff|toml|py))\)", r"\1", markdown)


def _readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8").replace("](docs/", "](")


def settings_page() -> str:
    """A table for each section of the experiment file."""
    schema: dict[str, Any] = experiment_schema()
    top = {name: item for name, item in schema["properties"].items() if "properties" not in item}
    sections = {name: item for name, item in schema["properties"].items() if "properties" in item}
    parts = [_table(top, schema["required"])]
    for name, section in sections.items():
        parts += [f"## `[{name}]`", _table(section["properties"], section.get("required", []))]
    return "\n\n".join(parts)


def _table(properties: dict[str, dict[str, Any]], required: list[str]) -> str:
    rows = ["| setting | values | default | |", "|---|---|---|---|"]
    for name, item in properties.items():
        default = "required" if name in required else f"`{_toml(item['default'])}`" if "default" in item else "none"
        rows.append(f"| `{name}` | {_values(item)} | {default} | {item['description'].replace('|', '&#124;')} |")
    return "\n".join(rows)


def _values(item: dict[str, Any]) -> str:
    if "enum" in item:
        return ", ".join(f"`{_toml(value)}`" for value in item["enum"])
    if "anyOf" in item:
        return " or ".join(_values(option) for option in item["anyOf"])
    if item["type"] == "array":
        return f"list of {_values(item['items'])}"
    if "properties" in item:
        return "table of " + ", ".join(f"`{name}` ({_values(inner)})" for name, inner in item["properties"].items())
    if item["type"] == "object":
        return "table of texts"
    if "maximum" in item:
        return f"whole number, {item['minimum']} to {item['maximum']}"
    return {"integer": "whole number", "number": "number", "string": "text", "boolean": "`true`, `false`"}[item["type"]]


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_toml(key)} = {_toml(item)}' for key, item in value.items())} }}"
    return f'"{value}"' if isinstance(value, str) else str(value)


def commands_page() -> str:
    """The help of every command, as a terminal of 78 columns shows it."""
    root = parser()
    parts = [_help(root)]
    for words, verb in _verbs(root, "polarmap"):
        parts += [f"## `{words}`", _help(verb)]
    return "\n\n".join(parts)


def _verbs(command: argparse.ArgumentParser, words: str) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in command._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, verb in action.choices.items():
                yield f"{words} {name}", verb
                yield from _verbs(verb, f"{words} {name}")


def _help(command: argparse.ArgumentParser) -> str:
    command.formatter_class = lambda prog: argparse.HelpFormatter(prog, width=78)
    return f"```text\n{command.format_help()}```"
