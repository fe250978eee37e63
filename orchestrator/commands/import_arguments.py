"""The arguments of `polarmap import …` and `polarmap merge`; imports nothing heavy, because `--help` reads it."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Final

from orchestrator.commands.path_arguments import file_argument, folder_argument

# Written out, so that this module imports nothing of the packages that compute.
_TRACERS: Final = ("Tc-99m", "Tl-201")


def add_sources(verb: argparse.ArgumentParser) -> None:
    """Every source that `polarmap import` knows."""
    sources = verb.add_subparsers(title="sources", required=True, metavar="SOURCE")
    for name, add, command, text in _SOURCES:
        source = sources.add_parser(name, help=text, description=text)
        source.set_defaults(command=command)
        add(source)


def add_pseudonymise(verb: argparse._ActionsContainer) -> None:
    """`--pseudonymise KEYFILE`."""
    file_argument(verb, "--pseudonymise", metavar="KEYFILE", help="call patients by keyed pseudonyms (HMAC-SHA256)")


def add_merge(verb: argparse.ArgumentParser) -> None:
    """`polarmap merge DIR SITE=IMPORT …`."""
    folder_argument(verb, "folder", type=Path, metavar="DIR", help="a new or empty folder")
    verb.add_argument("parts", nargs="+", metavar="SITE=IMPORT", help="a site's name and the folder of its import")
    verb.add_argument(
        "--same-ids",
        action="store_true",
        help="one patient id means one patient in all parts (default: prefix by site)",
    )


def _spectf(verb: argparse.ArgumentParser) -> None:
    file_argument(verb, "train", metavar="SPECTF.train")
    file_argument(verb, "test", metavar="SPECTF.test")
    folder_argument(verb, "folder", type=Path, metavar="DIR", help="a new or empty folder")
    verb.add_argument("--all-development", action="store_true", help="no test partition: all 267 for cross-validation")
    verb.add_argument("--size", type=int, default=32, metavar="PX", help="pixels of a side (default: 32)")
    add_pseudonymise(verb)


def _dicom_sa(verb: argparse.ArgumentParser) -> None:
    _from_and_to(verb, "a folder, a ZIP archive, or one file")
    verb.add_argument("--tracer", choices=_TRACERS, help="where neither tags nor --files name it")
    verb.add_argument(
        "--direction",
        choices=("apex-to-base", "base-to-apex"),
        help="order of the slices, where neither tags nor --files say it",
    )
    verb.add_argument(
        "--attenuation",
        choices=("corrected", "uncorrected"),
        help="which volume to take where an exam has both (no default)",
    )
    verb.add_argument("--size", type=int, default=64, metavar="PX", help="pixels of a side (default: 64)")
    verb.add_argument("--rings", type=int, default=24, help="samples from apex to base (default: 24)")
    verb.add_argument("--angles", type=int, default=60, help="samples around a ring (default: 60)")
    _shared(verb)
    _files(verb)


def _pages(verb: argparse.ArgumentParser) -> None:
    file_argument(verb, "source", nargs="?", metavar="SOURCE", help="a folder, a ZIP archive, or one file")
    file_argument(verb, "layout", nargs="?", metavar="LAYOUT", help="a file that says what lies where on a page (TOML)")
    folder_argument(verb, "folder", nargs="?", type=Path, metavar="DIR", help="a new or empty folder")
    file_argument(
        verb, "--new-layout", metavar="PAGE", help="write layout.toml to fill in, and layout.png: PAGE with a grid"
    )
    verb.add_argument("--pattern", help="of file names: '{patient}_{tracer}.png'; DICOM pages know their patient")
    verb.add_argument("--tracer", choices=_TRACERS, help="where neither file names nor --files name it")
    _shared(verb)
    _files(verb)


def _segments(verb: argparse.ArgumentParser) -> None:
    _from_and_to(verb, "a table: patient_id, tracer, stress_1 … stress_17, rest_1 …")
    verb.add_argument("--values", choices=("scores", "percent"), required=True, help="what the cells hold")
    verb.add_argument("--size", type=int, default=64, metavar="PX", help="pixels of a side (default: 64)")
    _shared(verb)


def _folder(verb: argparse.ArgumentParser) -> None:
    _from_and_to(verb, "a folder, a ZIP archive, or one file")
    verb.add_argument(
        "--pattern", required=True, help="of file names: '{patient}_{tracer}_{phase}.png'; also {exam}, {date} and *"
    )
    verb.add_argument("--tracer", choices=_TRACERS, help="where neither file names nor --files name it")
    verb.add_argument("--nifti-order", choices=("row-column", "x-y"), help="how NIfTI arrays are indexed (no default)")
    _shared(verb)
    _files(verb)


def _list(verb: argparse.ArgumentParser) -> None:
    file_argument(verb, "source", metavar="SOURCE", help="a folder, a ZIP archive, or one file")


def _from_and_to(verb: argparse.ArgumentParser, source: str) -> None:
    file_argument(verb, "source", metavar="SOURCE", help=source)
    folder_argument(verb, "folder", type=Path, metavar="DIR", help="a new or empty folder")


def _shared(verb: argparse.ArgumentParser) -> None:
    file_argument(verb, "--exams", metavar="CSV", help="labels and more by patient_id (and tracer, exam_id)")
    verb.add_argument(
        "--carry", action="append", default=[], metavar="COLUMN", help="take over a further column; repeatable"
    )
    verb.add_argument(
        "--label",
        dest="rules",
        action="append",
        default=[],
        metavar="RULE",
        help="a label by rule: 'SSS >= 4', 'Tl-201: SSS >= 9'; repeatable",
    )
    verb.add_argument(
        "--exam-days", type=int, default=30, metavar="N", help="most days between the maps of one exam (default: 30)"
    )
    verb.add_argument(
        "--format",
        choices=("png", "npy"),
        default="png",
        help="the format of maps of counts (default: png, of 16 bits)",
    )
    names = verb.add_mutually_exclusive_group()
    add_pseudonymise(names)
    names.add_argument("--keep-ids", action="store_true", help="keep the source's patient ids (default: P0001, …)")


def _files(verb: argparse.ArgumentParser) -> None:
    file_argument(verb, "--files", metavar="CSV", help="what the source does not say, by file (see the docs)")


# Each names its command by module and function, which are imported when the verb is used.
_SOURCES: Final[tuple[tuple[str, Callable[[argparse.ArgumentParser], None], tuple[str, str], str], ...]] = (
    ("spectf", _spectf, ("sources", "import_spectf"), "the 267 patients of the UCI SPECTF data, as real polar maps"),
    ("dicom-sa", _dicom_sa, ("imports", "dicom_sa"), "reconstructed short-axis volumes (DICOM NM), sampled to maps"),
    ("pages", _pages, ("imports", "pages"), "result pages of a vendor's program, by a layout file"),
    ("segments", _segments, ("imports", "segments"), "a table of 17 or 20 segment scores or percent, painted as maps"),
    ("folder", _folder, ("imports", "folder"), "PNG, NPY or NIfTI maps, by a pattern of their file names"),
    ("list", _list, ("imports", "list_files"), "print which file has which number (shows file names)"),
)
