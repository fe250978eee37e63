"""`polarmap report RUN --patients`: the maps of the hardest exams of a run, identifying. No torch, no Ray."""

from pathlib import Path

from mpi_model.errors import ExperimentError
from orchestrator.driver.reopening import cohort_of_run
from orchestrator.ledger.reading import Run
from orchestrator.report.build import run_tables
from orchestrator.report.cohort_page.single_maps import hardest_maps_page
from orchestrator.report.hardest import hardest_over_inputs


def hardest_maps_of(run: Run, manifest: Path | None) -> str:
    """A page with the maps that the run's report lists as its hardest exams.

    Args:
        run: A run of two repeats or more.
        manifest: Its cohort, where that does not lie where the run found it.

    Raises:
        ExperimentError: No exam is harder than others, or the cohort is not at hand.
        RunDirectoryError: The cohort is not the run's.
    """
    tables = run_tables(run)
    hardest = hardest_over_inputs(tables.of(tables.models[0]), tables.maps)
    if hardest.empty:
        raise ExperimentError(
            f"{run.paths.name} has no hardest exams: that takes two whole repeats of the cross-validation "
            "(folds.repeats), and exams that are decided wrongly"
        )
    cohort = cohort_of_run(run, manifest)
    # By the run's own rows, which the report names: a manifest may be sorted anew.
    rows = run.cohort.set_index("exam_id")["manifest_row"]
    exams = cohort.exams.assign(manifest_row=cohort.exams["exam_id"].map(rows))
    return hardest_maps_page(run.paths.name, hardest, exams, cohort.maps)
