"""Arguments that are paths, with what a shell completes for them."""

import argparse
from pathlib import Path
from typing import Any, Final

_FILES: Final = {"bash": "_shtab_compgen_files", "zsh": "_files", "tcsh": "f"}
"""What shtab calls for a path; written out, so that the parser is built without importing shtab."""
_FOLDERS: Final = {"bash": "_shtab_compgen_dirs", "zsh": "_files -/", "tcsh": "d"}


def file_argument(verb: argparse._ActionsContainer, *names: str, **settings: Any) -> None:  # noqa: ANN401 - argparse's own
    """An argument that is a path: shells complete file names for it."""
    settings.setdefault("type", Path)
    verb.add_argument(*names, **settings).complete = _FILES  # type: ignore[attr-defined] # what shtab reads


def folder_argument(verb: argparse._ActionsContainer, *names: str, **settings: Any) -> None:  # noqa: ANN401 - argparse's own
    """An argument that is a folder: shells complete folders for it; text where it may be a URL."""
    verb.add_argument(*names, **settings).complete = _FOLDERS  # type: ignore[attr-defined] # what shtab reads
