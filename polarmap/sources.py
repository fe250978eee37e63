"""Cohorts to work on: simulated ones, and known sources turned into a manifest and images."""

from collections.abc import Mapping
from pathlib import Path

from orchestrator.cohort.pseudonyms import keep_id, pseudonyms
from orchestrator.importers import spectf
from orchestrator.importers.merge import merge_imports, parts_of
from orchestrator.output_files import private_files
from orchestrator.phantom.preview import preview as draw_preview
from orchestrator.phantom.writer import Format, write_cohort


def synth(
    folder: str | Path,
    *,
    patients: int | None = None,
    tracer_mix: Mapping[str, float] | None = None,
    seed: int = 0,
    size: int = 64,
    format: Format = "png",
    preview: str | Path | None = None,
    pseudonymise: str | Path | None = None,
) -> Path:
    """Write a synthetic two-tracer cohort with its truth, as `polarmap synth` does.

    Args:
        folder: A new or empty folder.
        patients: How many; None for a cohort like the reference study's.
        tracer_mix: Shares of patients studied with one tracer alone, by tracer; the rest had both.
        seed: Changes every draw.
        size: Pixels of a side.
        format: 16-bit counts (`png`, `npy`) or screenshots (`colour`).
        preview: A PNG file for a panel of patients with their truth.
        pseudonymise: A key file; patients are then called by keyed pseudonyms.

    Returns:
        The manifest; the truth lies beside it in `truth.csv`.

    Raises:
        ExperimentError: The folder is in use, or a value is impossible.
    """
    with private_files():
        manifest = write_cohort(
            Path(folder),
            patients=patients,
            tracer_mix=tracer_mix,
            seed=seed,
            size=size,
            format=format,
            pseudonym=keep_id if pseudonymise is None else pseudonyms(Path(pseudonymise)),
        )
        # After the cohort: the picture is drawn from the files that were written.
        if preview is not None:
            draw_preview(Path(folder), Path(preview))
    return manifest


def import_spectf(
    train: str | Path,
    test: str | Path,
    folder: str | Path,
    *,
    size: int = 32,
    all_development: bool = False,
    pseudonymise: str | Path | None = None,
) -> Path:
    """Paint the 267 patients of the UCI SPECTF data as polar maps, as `polarmap import spectf` does.

    Args:
        train: The file SPECTF.train.
        test: The file SPECTF.test.
        folder: A new or empty folder.
        size: Pixels of a side.
        all_development: Whether all patients are for cross-validation, and none for a test.
        pseudonymise: A key file; patients are then called by keyed pseudonyms.

    Returns:
        The manifest.

    Raises:
        CohortError: A file is not what it should be.
    """
    with private_files():
        return spectf.import_spectf(
            Path(train),
            Path(test),
            Path(folder),
            size=size,
            all_development=all_development,
            pseudonym=keep_id if pseudonymise is None else pseudonyms(Path(pseudonymise)),
        )


def merge(folder: str | Path, sites: Mapping[str, str | Path], *, same_ids: bool = False) -> Path:
    """Write one cohort of several imports, with a `site` column, as `polarmap merge` does.

    Args:
        folder: A new or empty folder.
        sites: The folder of each import, by the site's name.
        same_ids: Whether one id is one patient in all of them.

    Returns:
        The manifest.

    Raises:
        CohortError: An import's manifest or a map is unusable, or one map is in two exams.
        ExperimentError: A folder is no import, or the new one cannot be used.
    """
    with private_files():
        parts = parts_of([f"{site}={path}" for site, path in sites.items()])
        return merge_imports(Path(folder), parts, same_ids=same_ids).manifest
