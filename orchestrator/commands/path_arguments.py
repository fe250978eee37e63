"""Arguments that are paths, with what a shell completes for them."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

_FILES: Final = {"bash": "_shtab_compgen_files", "zsh": "_files", "tcsh": "f"}
"""What shtab calls for a path; written out, so that the parser is built without importing shtab."""
_FOLDERS: Final = {"bash": "_shtab_compgen_dirs", "zsh": "_files -/", "tcsh": "d"}


def _with_a_path(settings: dict[str, Any], kind: Callable[[str], Any]) -> dict[str, Any]:
    """The settings of an argument that refuses an empty text: a path of nothing would be the current folder."""
    given: Callable[[str], Any] = settings.get("type", kind)

    def path(text: str) -> Any:  # noqa: ANN401 - a path, or the text of one
        if not text.strip():
            raise argparse.ArgumentTypeError("the path is empty; a variable of the shell may not be set")
        return given(text)

    return settings | {"type": path}


def file_argument(verb: argparse._ActionsContainer, *names: str, **settings: Any) -> None:  # noqa: ANN401 - argparse's own
    """An argument that is a path: shells complete file names for it."""
    verb.add_argument(*names, **_with_a_path(settings, Path)).complete = _FILES  # type: ignore[attr-defined] # what shtab reads


def folder_argument(verb: argparse._ActionsContainer, *names: str, **settings: Any) -> None:  # noqa: ANN401 - argparse's own
    """An argument that is a folder: shells complete folders for it; text where it may be a URL."""
    verb.add_argument(*names, **_with_a_path(settings, str)).complete = _FOLDERS  # type: ignore[attr-defined] # what shtab reads
