"""Verbs that make something to work on: an experiment file and its schema, a synthetic cohort, an imported one."""

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Final

from mpi_model.errors import ExperimentError
from mpi_model.regular_files import read_regular
from orchestrator.cohort.pseudonyms import Pseudonym, keep_id, pseudonyms
from orchestrator.experiment.file import template
from orchestrator.experiment.schema import experiment_schema
from orchestrator.importers.spectf import import_spectf as convert_spectf
from orchestrator.ledger.files import json_object
from orchestrator.monitoring.progress import progress_callback
from orchestrator.output_files import new_named_file, write_named_file
from orchestrator.phantom.preview import preview
from orchestrator.phantom.writer import write_cohort
from orchestrator.terminal.progress import progress_for

_SCHEMA_FILE: Final = "polarmap.schema.json"
"""The name of the schema's file beside an experiment file; `polarmap init` writes both."""
_MOST_SCHEMA: Final = 2**20
"""Bytes of it; today's has 30 kB."""


def init(arguments: argparse.Namespace) -> int:
    """`polarmap init [FILE]`: the file, and beside it the schema that its first line names for editors."""
    path: Path = arguments.file
    if path.name == _SCHEMA_FILE:
        raise ExperimentError(f"{_SCHEMA_FILE} is the name of the schema beside an experiment file; name another file")
    new_named_file(path, template().encode("utf-8"))
    # The schema is the installed version's: one that is there already may be an older version's.
    beside = path.parent / _SCHEMA_FILE
    if not os.path.lexists(beside) or _is_schema(beside):
        write_named_file(beside, _schema_text().encode("utf-8"))
    else:
        print(f"{beside} is no schema, and was left as it is; `polarmap schema` prints one")
    print(f"{path} written; set `name` and `cohort.manifest`, then: polarmap check {path}")
    return 0


def _is_schema(path: Path) -> bool:
    """Whether a file is a JSON Schema, and so not somebody's own; a link may lead to anything."""
    try:
        return "$schema" in (json_object(read_regular(path, _MOST_SCHEMA)) or {})
    except OSError:
        return False


def schema(arguments: argparse.Namespace) -> int:
    """`polarmap schema`: the JSON Schema of experiment files, on standard output."""
    print(_schema_text(), end="")
    return 0


def _schema_text() -> str:
    return json.dumps(experiment_schema(), ensure_ascii=False, indent=1) + "\n"


def import_spectf(arguments: argparse.Namespace) -> int:
    """`polarmap import spectf TRAIN TEST DIR`."""
    with progress_callback(progress_for(), "painting maps") as advance:
        manifest = convert_spectf(
            arguments.train,
            arguments.test,
            arguments.folder,
            size=arguments.size,
            all_development=arguments.all_development,
            progress=advance,
            pseudonym=_pseudonym_of(arguments),
        )
    print(f"{manifest} written: one row an exam, stress and rest maps beside it")
    return 0


def synth(arguments: argparse.Namespace) -> int:
    """`polarmap synth DIR`, with or without a picture of it; `--preview` alone draws a cohort it throws away."""
    if arguments.preview is not None and os.path.lexists(arguments.preview):
        raise ExperimentError(f"the preview must be a new file, but {arguments.preview} exists; name another")
    if arguments.folder is None:
        if arguments.preview is None:
            raise ExperimentError("`polarmap synth` needs a folder to write, or --preview FILE.png for a picture alone")
        with tempfile.TemporaryDirectory() as folder:
            # A picture shows a few patients; a cohort of the reference study's size would only take longer.
            arguments.patients = 40 if arguments.patients is None else arguments.patients
            _write_synthetic(arguments, Path(folder) / "cohort")
            print(f"{preview(Path(folder) / 'cohort', arguments.preview)} written")
        return 0
    manifest = _write_synthetic(arguments, arguments.folder)
    print(f"{manifest} written; the truth is in {manifest.parent / 'truth.csv'}")
    if arguments.preview is not None:
        print(f"{preview(arguments.folder, arguments.preview)} written")
    return 0


def _write_synthetic(arguments: argparse.Namespace, folder: Path) -> Path:
    """Write the cohort that the arguments of `synth` describe; returns its manifest."""
    with progress_callback(progress_for(), "simulating patients") as advance:
        return write_cohort(
            folder,
            patients=arguments.patients,
            tracer_mix=_tracer_mix(arguments.tracer_mix),
            seed=arguments.seed,
            size=arguments.size,
            format=arguments.format,
            progress=advance,
            pseudonym=_pseudonym_of(arguments),
        )


def _pseudonym_of(arguments: argparse.Namespace) -> Pseudonym:
    """How patients are called: as they are, or by pseudonyms under the key that was named."""
    return keep_id if arguments.pseudonymise is None else pseudonyms(arguments.pseudonymise)


def _tracer_mix(text: str | None) -> dict[str, float] | None:
    """Read `Tc-99m=0.3,Tl-201=0.6`.

    Raises:
        ExperimentError: The text is not a list of tracer=share.
    """
    if text is None:
        return None
    try:
        shares = [(tracer.strip(), float(share)) for tracer, share in (item.split("=") for item in text.split(","))]
        if len(dict(shares)) < len(shares):
            raise ValueError("a tracer twice")
        return dict(shares)
    except ValueError:
        raise ExperimentError(
            f"--tracer-mix takes TRACER=SHARE,TRACER=SHARE, each tracer once, but got {text!r}"
        ) from None
