"""A run as an object: its tables as data frames, its report, its state, its networks."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from orchestrator.ledger import reading
from orchestrator.output_files import private_files
from orchestrator.runners.runner import RunnerName

if TYPE_CHECKING:
    from polarmap.reports import Report


class Run(reading.Run):
    """A run directory, finished, interrupted or going on; every attribute reads its files anew.

    `summary`, `predictions`, `candidates`, `epochs`, `cells`, `timings`, `cohort` and `folds` are data frames with the
    columns that the reference gives. A notebook shows the report's tables.
    """

    __slots__ = ()

    def report(self, *, incomplete: bool = False, figures: bool = True) -> "Report":
        """Compute the report from the ledger alone, as `polarmap report` does.

        Args:
            incomplete: Where cells are missing, average over the repeats that are whole. Without it such averages are
                refused, and the report's `incomplete_inputs` names the input configurations concerned.
            figures: Whether figures are drawn, which takes longer than everything else.

        Raises:
            IncompleteRunError: `incomplete` is asked for and no repeat is whole.
        """
        from orchestrator.report.build import report_of  # noqa: PLC0415 - matplotlib and scipy; tables need neither
        from polarmap.reports import Report  # noqa: PLC0415 - likewise

        return Report.of(report_of(self, drawn=figures, incomplete=incomplete))

    def status(self) -> dict[str, Any]:
        """How the run stands: the keys of `polarmap status --json`."""
        from orchestrator.monitoring.status import status_of  # noqa: PLC0415 - a finished run's tables need none of it
        from orchestrator.terminal.status_view import as_json  # noqa: PLC0415 - likewise

        # Through the command's own JSON, so that both have the same keys and types.
        keys: dict[str, Any] = json.loads(as_json(status_of(self.paths)))
        return keys

    def predict(self, manifest: str | Path) -> pd.DataFrame:
        """Predict new exams with the final networks, as `polarmap predict` does; labels are not read.

        `polarmap.predict` takes several runs, and writes a file of any length.

        Args:
            manifest: New exams, as in a cohort's manifest; `label` may be missing.

        Returns:
            `patient_id, exam_id, tracer, inputs, model, score, probability, threshold, positive, relative_distance,
            outside`.

        Raises:
            IncompleteRunError: The run has no final networks.
            CohortError: The manifest or an image is unusable.
        """
        from polarmap.models import predict  # noqa: PLC0415 - torch; only predictions need it

        return predict(self, manifest)

    def explain(
        self,
        *,
        cells: bool = False,
        manifest: str | Path | None = None,
        permuted: "Run | None" = None,
        runner: RunnerName = "ray",
        address: str | None = None,
    ) -> pd.DataFrame:
        """Where the networks' scores come from, on exams that they have not learned from, as `polarmap explain` does.

        Args:
            cells: Whether the networks of the cross-validation are refitted and explained, too.
            manifest: The run's cohort, where it does not lie where the run found it.
            permuted: A label permutation of the run, to compare with.
            runner: Who refits the cells.
            address: A running Ray cluster; None starts Ray on this machine.

        Returns:
            The table `attributions`.

        Raises:
            IncompleteRunError: Cells could not be explained; what was explained is kept.
            PolarmapError: See `mpi_model.errors`.
        """
        from orchestrator.driver.explain import ExplainOptions, explain_run  # noqa: PLC0415 - torch
        from orchestrator.terminal.progress import progress_for  # noqa: PLC0415 - likewise

        options = ExplainOptions(
            cells=cells,
            manifest=None if manifest is None else Path(manifest),
            permuted=permuted,
            runner=runner,
            address=address,
        )
        with private_files():
            explain_run(self, options, progress_for("none")).check()
        return self.attributions

    def rerun_cell(
        self,
        cell: str,
        folder: str | Path,
        *,
        manifest: str | Path | None = None,
        runner: RunnerName = "inline",
        debug: bool = False,
    ) -> tuple[str, ...]:
        """Do one cell again, alone, and compare it with the ledger, as `polarmap rerun-cell` does.

        Args:
            cell: Its name, such as `stress-r00-f0`.
            folder: A new folder for what comes of it; the run is only read.
            manifest: The run's cohort, where it does not lie where the run found it.
            runner: Who does it.
            debug: Whether an error of the cell is raised where it happens; otherwise the cell is a failed one.

        Returns:
            The tables and networks whose bytes are the ledger's.

        Raises:
            RunDirectoryError: Some bytes differ.
            PolarmapError: See `mpi_model.errors`.
        """
        from orchestrator.driver.rerun import rerun_cell  # noqa: PLC0415 - torch
        from orchestrator.driver.resume import RunOptions  # noqa: PLC0415 - likewise
        from orchestrator.terminal.progress import progress_for  # noqa: PLC0415 - likewise

        place, options = None if manifest is None else Path(manifest), RunOptions(runner=runner)
        with private_files():
            found = rerun_cell(self, cell, Path(folder), options, progress_for("none"), place, unguarded=debug)
        found.check()
        return found.same

    def export_optuna(self, file: str | Path) -> tuple[int, int]:
        """Write every search as an Optuna study into a new journal file, as `polarmap export-optuna` does.

        Args:
            file: A new file.

        Returns:
            The numbers of studies and of trials.

        Raises:
            ExperimentError: The file is there already, or cannot be written.
        """
        from orchestrator.export.optuna_journal import export_studies  # noqa: PLC0415 - Optuna; only exports need it

        with private_files():
            return export_studies(self, Path(file))

    def _repr_html_(self) -> str:
        # A notebook shows a variable without being asked to; computing a report here could take minutes.
        if not self.paths.summary.exists():
            return f"<p>{self!r}: not finished; <code>status()</code> says how it stands</p>"
        from orchestrator.report.stored import stored_report  # noqa: PLC0415 - tables need no report
        from polarmap.reports import Report  # noqa: PLC0415 - likewise

        return Report.of(stored_report(self))._repr_html_()

    def __repr__(self) -> str:
        return f"polarmap.open_run({self.paths.root!r})"


def open_run(location: str | Path) -> Run:
    """Open a run directory for reading.

    Args:
        location: A folder, or `s3://bucket/prefix/name`.

    Raises:
        RunDirectoryError: There is no run there.
    """
    return Run(reading.open_run(location).paths)
