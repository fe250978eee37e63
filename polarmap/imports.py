"""What a clinic has, turned into a manifest and maps: the imports of `polarmap import`, from Python."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mpi_model.errors import ExperimentError
from mpi_model.vocabulary import Tracer
from orchestrator.importers import folder as folders
from orchestrator.importers import segments as tables
from orchestrator.importers.exams import EXAM_DAYS, patient_names
from orchestrator.importers.folder import NiftiOrder
from orchestrator.importers.import_request import ImportRequest, require
from orchestrator.importers.label_rules import label_rules
from orchestrator.importers.segments import SegmentValues
from orchestrator.output_files import private_files


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """What every import takes beside its source, as the options of `polarmap import`.

    Raises:
        ExperimentError: Both `pseudonymise` and `keep_ids` are given.
    """

    files: str | Path | None = None
    """A CSV with what the source does not say, by file; not for a table of segments."""
    exams: str | Path | None = None
    """A CSV with labels and more, by `patient_id`, and `tracer` and `exam_id` where they decide."""
    carry: Sequence[str] = ()
    """Further columns of the exams' table that enter the manifest."""
    label: Sequence[str] = ()
    """Rules such as `SSS >= 4` or `Tl-201: SSS >= 9`."""
    exam_days: int = EXAM_DAYS
    """The most days between a map and the next one of the same exam."""
    format: Literal["png", "npy"] = "png"
    """How counts are written."""
    pseudonymise: str | Path | None = None
    """A key file; patients are then called by keyed pseudonyms."""
    keep_ids: bool = False
    """Whether patients keep the source's ids; P0001, … otherwise."""

    def __post_init__(self) -> None:
        # The command refuses the pair too: pseudonyms that are ids of the source would hide nothing.
        if self.pseudonymise is not None and self.keep_ids:
            raise ExperimentError("`pseudonymise` and `keep_ids` contradict each other; leave one of them out")


def import_short_axis(
    source: str | Path,
    folder: str | Path,
    *,
    tracer: Tracer | None = None,
    direction: Literal["apex-to-base", "base-to-apex"] | None = None,
    attenuation: Literal["corrected", "uncorrected"] | None = None,
    size: int = 64,
    rings: int = 24,
    angles: int = 60,
    options: ImportOptions = ImportOptions(),
) -> Path:
    """Sample reconstructed short-axis volumes (DICOM NM) as polar maps, as `polarmap import dicom-sa` does.

    Args:
        source: A folder, a ZIP archive, or one file.
        folder: A new or empty folder.
        tracer: The tracer, where neither tags nor `options.files` give it.
        direction: The order of slices, likewise.
        attenuation: Which volume to take where an exam has both.
        size: Pixels of a side.
        rings: Samples from apex to base.
        angles: Samples around a ring.
        options: What every import takes.

    Returns:
        The manifest.

    Raises:
        CohortError: Anything is wrong with the source; all of it at once, and nothing is written.
        ExperimentError: A setting or the folder cannot be used, or pydicom is not installed.
    """
    require("pydicom", "dicom")
    from orchestrator.importers.dicom_sa import import_dicom_sa  # noqa: PLC0415 - pydicom, an optional dependency
    from orchestrator.importers.short_axis import Sampling  # noqa: PLC0415 - scipy

    sampling = Sampling(rings=rings, angles=angles, size=size)
    with private_files():
        return import_dicom_sa(
            _request(source, folder, options),
            sampling=sampling,
            tracer=tracer,
            direction=direction,
            attenuation=attenuation,
        ).manifest


def import_pages(
    source: str | Path,
    layout: str | Path,
    folder: str | Path,
    *,
    pattern: str | None = None,
    tracer: Tracer | None = None,
    options: ImportOptions = ImportOptions(),
) -> Path:
    """Read polar maps from a vendor's result pages, as `polarmap import pages` does.

    Args:
        source: A folder, a ZIP archive, or one page.
        layout: The layout file (TOML); `polarmap import pages --new-layout` writes one to fill in.
        folder: A new or empty folder.
        pattern: The pattern of file names, such as `{patient}_{tracer}.png`; DICOM pages carry their patient.
        tracer: The tracer, where neither names nor `options.files` give it.
        options: What every import takes.

    Returns:
        The manifest.

    Raises:
        CohortError: Anything is wrong with the source; all of it at once, and nothing is written.
        ExperimentError: The layout, the pattern or the folder cannot be used.
    """
    from orchestrator.importers import pages  # noqa: PLC0415 - scipy

    with private_files():
        request = _request(source, folder, options)
        return pages.import_pages(request, Path(layout), pattern=pattern, tracer=tracer).manifest


def import_segments(
    table: str | Path,
    folder: str | Path,
    *,
    values: SegmentValues,
    size: int = 64,
    options: ImportOptions = ImportOptions(),
) -> Path:
    """Paint a table of 17 or 20 segments an exam as polar maps, as `polarmap import segments` does.

    Args:
        table: CSV or Parquet: `patient_id`, `tracer`, `stress_1` … `stress_17`, `rest_1` …
        folder: A new or empty folder.
        values: What the cells hold: scores of 0 to 4, or percent uptake.
        size: Pixels of a side.
        options: What every import takes; without `files`.

    Returns:
        The manifest.

    Raises:
        CohortError: A column or a cell is not of its kind; all of them at once, and nothing is written.
        ExperimentError: The folder cannot be used.
    """
    with private_files():
        return tables.import_segments(_request(table, folder, options), kind=values, size=size).manifest


def import_folder(
    source: str | Path,
    folder: str | Path,
    *,
    pattern: str,
    tracer: Tracer | None = None,
    nifti_order: NiftiOrder | None = None,
    options: ImportOptions = ImportOptions(),
) -> Path:
    """Take PNG, NPY or NIfTI maps by their file names, as `polarmap import folder` does.

    Args:
        source: A folder, a ZIP archive, or one file.
        folder: A new or empty folder.
        pattern: The pattern of file names, such as `{patient}_{tracer}_{phase}.png`; also `{exam}`, `{date}` and `*`.
        tracer: The tracer, where neither names nor `options.files` give it.
        nifti_order: How NIfTI arrays are indexed; needed where there are any.
        options: What every import takes.

    Returns:
        The manifest.

    Raises:
        CohortError: Anything is wrong with the source; all of it at once, and nothing is written.
        ExperimentError: The pattern or the folder cannot be used.
    """
    with private_files():
        request = _request(source, folder, options)
        return folders.import_folder(request, pattern=pattern, tracer=tracer, nifti_order=nifti_order).manifest


def _request(source: str | Path, folder: str | Path, options: ImportOptions) -> ImportRequest:
    keyfile = None if options.pseudonymise is None else Path(options.pseudonymise)
    return ImportRequest(
        source=Path(source),
        folder=Path(folder),
        files=None if options.files is None else Path(options.files),
        exams=None if options.exams is None else Path(options.exams),
        carry=options.carry,
        rules=label_rules(options.label),
        names=patient_names(keyfile, kept=options.keep_ids),
        exam_days=options.exam_days,
        format=options.format,
    )
