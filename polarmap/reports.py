"""Reports in a notebook or a program, and the statistics that need no run."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Literal, Self

import pandas as pd

from mpi_model.errors import StatisticsError
from orchestrator.output_files import private_files
from orchestrator.report import records
from orchestrator.report.compare import comparison_report
from orchestrator.report.evaluate import evaluation_report
from orchestrator.report.export import export
from orchestrator.report.prediction_table import read_predictions
from orchestrator.terminal.progress import progress_for
from polarmap.runs import Run, open_run


class Report(records.Report):
    """What a report prints: `summary` is the table of estimates with their intervals, one row a method.

    A notebook shows it as the HTML report does, figures included.
    """

    __slots__ = ()

    @classmethod
    def of(cls, report: records.Report) -> Self:
        """The same report for a reader."""
        return cls(**{item.name: getattr(report, item.name) for item in fields(report)})

    def text(self, format: Literal["markdown", "csv", "latex", "json", "html"] = "markdown") -> str:
        """The report as Markdown, CSV, LaTeX, JSON or one HTML page, as `polarmap report --format` prints it."""
        return export(self, format)

    def _repr_html_(self) -> str:
        page = export(self, "html")
        # A notebook has a page of its own; only the sections are put into it.
        return page[page.index("<main>") + len("<main>") : page.index("</main>")]


def compare(first: Run | str | Path, second: Run | str | Path) -> Report:
    """Compare two runs with one fold plan, paired by patient, fold and seed, as `polarmap compare` does.

    Args:
        first: A run, or its directory.
        second: Another one with the same fold plan.

    Raises:
        StatisticsError: Plans, seeds or patients differ, or it is the same run twice; all reasons together.
    """
    opened = (run if isinstance(run, Run) else open_run(run) for run in (first, second))
    return Report.of(comparison_report(*opened))


def validate(
    run: Run | str | Path, manifest: str | Path | Sequence[str | Path], *, out: str | Path | None = None
) -> Report:
    """Judge a run's frozen networks on labelled exams of other centres, as `polarmap validate` does.

    Every call is written down in `RUNS/validations/`.

    Args:
        run: A run with final networks, or its directory.
        manifest: A labelled manifest, or several, one a centre.
        out: A new `.csv` or `.parquet` file for the predictions.

    Raises:
        IncompleteRunError: The run has no final networks.
        RunDirectoryError: A network is not the one that was trained.
        CohortError: A cohort is unusable, or shares patients or maps with the run's own.
    """
    from orchestrator.commands.predictions import check_new_table, write_table  # noqa: PLC0415 - torch, as below
    from orchestrator.driver.validate import validate_cohorts  # noqa: PLC0415 - torch; the other verbs need none
    from orchestrator.report.validation import predictions_of, validation_report  # noqa: PLC0415 - scikit-learn

    manifests = [manifest] if isinstance(manifest, str | Path) else manifest
    opened = run if isinstance(run, Run) else open_run(run)
    if out is not None:
        # Before the networks are used: every use is logged, and a file that is in the way must not cost one.
        check_new_table(Path(out))
    with private_files():
        found = validate_cohorts(opened, [Path(one) for one in manifests], progress_for("none"))
        if out is not None:
            write_table(Path(out), predictions_of(found))
    return Report.of(validation_report(opened, found))


def evaluate(
    predictions: pd.DataFrame | str | Path,
    *,
    level: float = 0.95,
    noninferiority: tuple[str, float] | None = None,
    prevalence: float | None = None,
    subgroups: Sequence[str] | None = None,
) -> Report:
    """The statistics of a run for predictions made elsewhere, as `polarmap evaluate` does.

    Args:
        predictions: A data frame, or a CSV or Parquet file, one row a prediction. `label` (0 or 1) and `score` or
            `probability`; where present `patient_id, exam_id, tracer, inputs, model, partition, repeat, fold, member,
            threshold, positive` and columns for subgroups. Decisions in `positive` (0 or 1) are the ones judged.
            Without `fold` it is one model on a test set of N exams, N rows. With `fold` it is a cross-validation, each
            of N exams once a repeat, R · N rows. With `member` it has M times as many. The first row's `model` is
            compared with the others.
        level: Confidence level of the intervals.
        noninferiority: A pair of `inputs`, such as `stress-dual`, and a margin of AUC, both fixed before the
            predictions were made; None for no primary hypothesis.
        prevalence: At which predictive values are given; None for none.
        subgroups: Columns whose values are reported apart; `sex`, where there is such a column, when None.

    Raises:
        StatisticsError: The predictions cannot be judged; one line a problem, with the numbers of its rows from 1.
    """
    if not isinstance(predictions, pd.DataFrame | str | Path):
        raise StatisticsError(
            f"predictions are a data frame, or the path of a CSV or Parquet file, not a {type(predictions).__name__}; "
            "pandas.DataFrame(…) makes one"
        )
    found = predictions if isinstance(predictions, pd.DataFrame) else read_predictions(Path(predictions))
    name = "predictions" if isinstance(predictions, pd.DataFrame) else Path(predictions).stem
    report = evaluation_report(
        found, name, level=level, noninferiority=noninferiority, prevalence=prevalence, subgroups=subgroups
    )
    return Report.of(report)
