"""Verbs that read finished work: report, compare, evaluate."""

import argparse
import sys
from pathlib import Path
from typing import Final

from mpi_model.errors import ExperimentError, IncompleteRunError
from mpi_model.printable import printable
from orchestrator.ledger.files import json_object
from orchestrator.ledger.reading import open_run
from orchestrator.monitoring.progress import shown
from orchestrator.output_files import make_parents, new_folder, new_named_file, write_named_file
from orchestrator.report.build import report_of
from orchestrator.report.compare import comparison_report
from orchestrator.report.evaluate import evaluation_report
from orchestrator.report.export import export
from orchestrator.report.prediction_table import read_predictions
from orchestrator.terminal.progress import progress_for
from orchestrator.terminal.tables import print_report

_LONGEST_NAME: Final = 100
_MARGIN: Final = 0.05
"""Of a non-inferiority hypothesis that names none, in AUC."""


def report(arguments: argparse.Namespace) -> int:
    """`polarmap report RUN`.

    Raises:
        IncompleteRunError: Cells have no result, and an average over the others was not asked for.
        ExperimentError: A format was asked for that this output does not have.
    """
    asked = [option for option in ("checklist", "figures", "patients") if getattr(arguments, option) is not None]
    if len(asked) > 1:
        raise ExperimentError(f"--{asked[0]} and --{asked[1]} are two outputs; call the command once for each")
    if arguments.checklist is not None:
        return _checklist(arguments)
    if arguments.format == "docx" or arguments.out is not None:
        raise ExperimentError("`--format docx` and `--out` are for `--checklist`; add it, or choose another format")
    if arguments.manifest is not None and arguments.patients is None:
        raise ExperimentError("`--manifest` is for `--patients`, which reads the maps again; add it")
    if arguments.patients is not None:
        return _patients(arguments)
    if arguments.figures is not None:
        return _figures(arguments)
    found = report_of(open_run(arguments.run), drawn=arguments.format == "html", incomplete=arguments.incomplete)
    print_report(found, arguments.format, full=arguments.full)
    missing = ", ".join(found.incomplete_inputs)
    if missing:
        failed = "state" in found.cells and bool((found.cells["state"] == "failed").any())
        # After an interruption the same command goes on; only failed cells have to be asked for.
        finish = "`polarmap run … --retry-failed`" if failed else "the same `polarmap run …`, which goes on"
        raise IncompleteRunError(
            f"the run is incomplete ({missing}) and averages that lack a cell are refused; finish it "
            f"with {finish}, or ask for its whole repeats with --incomplete"
        )
    return 0


def _patients(arguments: argparse.Namespace) -> int:
    """`polarmap report RUN --patients FILE`: the hardest exams' maps, in a new file that only its user reads."""
    # Imported here: of all reports only this one reads images again.
    from orchestrator.driver.hardest_maps import hardest_maps_of  # noqa: PLC0415

    new_named_file(arguments.patients, hardest_maps_of(open_run(arguments.run), arguments.manifest).encode("utf-8"))
    print(f"{arguments.patients} written: identifying, maps of single patients")
    return 0


def _figures(arguments: argparse.Namespace) -> int:
    """`polarmap report RUN --figures DIR`: every figure for a manuscript, with its data."""
    folder: Path = arguments.figures
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ExperimentError("the folder of `--figures` is not empty; give a new one")
    make_parents(folder)
    with new_folder(folder) as work:
        found = report_of(open_run(arguments.run), incomplete=arguments.incomplete, manuscript=True)
        for figure in found.figures:
            contents = {"svg": figure.svg.encode("utf-8"), "pdf": figure.pdf, "csv": figure.csv.encode("utf-8")}
            for end, content in contents.items():
                (work / f"{figure.key}.{end}").write_bytes(content)
    return 0


def _checklist(arguments: argparse.Namespace) -> int:
    """`polarmap report RUN --checklist NAME`: answered with the sections that the run's page has."""
    # Imported here: of what is printed only checklists need Jinja and the page.
    from orchestrator.report.manuscript.checklist_files import CHECKLIST_FORMATS, checklist_file  # noqa: PLC0415
    from orchestrator.report.page.sections import TITLES, checklist_of  # noqa: PLC0415

    if arguments.format not in CHECKLIST_FORMATS:
        raise ExperimentError(f"a checklist is written as {', '.join(CHECKLIST_FORMATS)}; add `--format docx`")
    if arguments.format == "docx" and arguments.out is None:
        raise ExperimentError("a DOCX file cannot be printed; add `--out FILE`")
    found = report_of(open_run(arguments.run), incomplete=arguments.incomplete)
    content = checklist_file(checklist_of(found, arguments.checklist), found.name, TITLES, arguments.format)
    if arguments.out is None:
        sys.stdout.write(content.decode("utf-8"))
    elif arguments.format == "csv":
        first = content.partition(b"\n")[0]
        # Manifests end in .csv, too; a checklist is known by its header.
        write_named_file(arguments.out, content, ".csv", lambda old: old.startswith(first))
    else:
        # Somebody's manuscript, or a checklist that somebody has completed by hand, cannot be told from ours.
        new_named_file(arguments.out, content)
    return 0


def _is_summary(content: bytes) -> bool:
    """Whether a JSON file is a report's; a run's `experiment.json` and an import's `import.json` are none."""
    found = json_object(content)
    return found is not None and "summary" in found


def compare(arguments: argparse.Namespace) -> int:
    """`polarmap compare RUN RUN`."""
    print_report(comparison_report(open_run(arguments.first), open_run(arguments.second)), arguments.format, full=True)
    return 0


def evaluate(arguments: argparse.Namespace) -> int:
    """`polarmap evaluate PREDICTIONS`."""
    path: Path = arguments.predictions
    if arguments.margin is not None and arguments.noninferiority is None:
        raise ExperimentError("`--margin` belongs to a hypothesis; name one with --noninferiority FIRST-SECOND")
    margin = _MARGIN if arguments.margin is None else arguments.margin
    progress = progress_for()
    with shown(progress, "reading the predictions"):
        predictions = read_predictions(path)
    with shown(progress, f"judging {len(predictions)} predictions"):
        found = evaluation_report(
            predictions,
            printable(path.stem)[:_LONGEST_NAME],
            level=arguments.level,
            noninferiority=None if arguments.noninferiority is None else (arguments.noninferiority, margin),
            prevalence=arguments.prevalence,
            subgroups=arguments.subgroup,
        )
    print_report(found, arguments.format, full=arguments.full)
    if arguments.json is not None:
        write_named_file(arguments.json, export(found, "json").encode("utf-8"), ".json", _is_summary)
    return 0
