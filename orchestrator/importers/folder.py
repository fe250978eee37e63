"""Maps that lie in a folder as PNG, NPY or NIfTI, known by their file names.

The name says whose map it is: `{patient}_{tracer}_{phase}.png`. A file that does not fit the pattern is left out and
counted. Pixels are decoded and written anew, so that nothing a picture carries beside them comes along.
"""

import gzip
import io
import logging
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from mpi_model.errors import CohortError, ExperimentError
from mpi_model.vocabulary import Tracer
from orchestrator.cohort.images import MAX_SIDE, checked_channels, decoded
from orchestrator.cohort.problems import Problem
from orchestrator.cohort.spellings import tracer_of
from orchestrator.importers.found_maps import FoundMap, ReadMap
from orchestrator.importers.import_request import FoundSource, ImportRequest, require, source_record, write_found
from orchestrator.importers.name_patterns import NamePattern, name_pattern
from orchestrator.importers.source_files import Source, SourceFile, file_problem
from orchestrator.importers.supplied_facts import SuppliedFiles, date_of, phase_of, read_files_table
from orchestrator.importers.written_cohort import WrittenCohort, check_new_folder

NiftiOrder = Literal["row-column", "x-y"]
"""By row and column from the top, or by x and y from the bottom left."""
_ARRAYS: Final = (".npy",)
_PICTURES: Final = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
_NIFTI: Final = (".nii", ".nii.gz")


def import_folder(
    request: ImportRequest,
    *,
    pattern: str,
    tracer: Tracer | None = None,
    nifti_order: NiftiOrder | None = None,
) -> WrittenCohort:
    """Write a cohort of the maps of a folder.

    Args:
        request: Source, folder to write and what all imports share.
        pattern: Of file names; see `name_pattern`.
        tracer: Of every map whose name and row of `--files` do not say it.
        nifti_order: Whether a NIfTI array is indexed by row and column from the top, or by x and y from the bottom
            left. There is no default, because files of both kinds look alike.

    Raises:
        CohortError: Anything is wrong with the source; all of it at once.
        ExperimentError: The pattern, or the folder to write, cannot be used.
    """
    compiled = name_pattern(pattern)
    check_new_folder(request.folder)
    supplied = read_files_table(request.files)
    with Source(request.source) as source:
        maps, problems, left_out = _found(source, compiled, supplied, tracer)
        by_number = {file.number: file for file in source.files}
        found = FoundSource(
            importer="folder",
            record=source_record(source, [by_number[each.file] for each in maps]),
            maps=maps,
            problems=[*source.problems, *supplied.unmatched(source.files), *problems],
            # Not the pattern itself: its literal parts may be the name of a place or a person.
            settings={"groups": compiled.groups, "tracer": tracer, "nifti_order": nifti_order},
            decisions={"files that do not fit the pattern": left_out},
        )
        return write_found(
            request, found, lambda each: ReadMap(pixels=_pixels_of(source, by_number[each.file], nifti_order))
        )


def _found(
    source: Source, pattern: NamePattern, supplied: SuppliedFiles, tracer: Tracer | None
) -> tuple[list[FoundMap], list[Problem], int]:
    maps: list[FoundMap] = []
    problems: list[Problem] = []
    left_out = 0
    for file in source.files:
        name, row = pattern.facts(file.path), supplied.of(file)
        # A row of `--files` brings in a file that does not fit the pattern.
        if row.skipped or (name is None and not row.row):
            left_out += 1
            continue
        phase = row.phase or phase_of(name.phase if name else "")
        known_tracer: Tracer | None = row.tracer or tracer_of(name.tracer if name else "") or tracer
        # The table wins over the name: it is written to correct what names say wrongly.
        patient = row.patient or (name.patient if name else "")
        lacks = [
            what for what, value in (("patient", patient), ("tracer", known_tracer), ("phase", phase)) if not value
        ]
        if lacks or known_tracer is None or phase is None:
            line = f"the name does not say {' and '.join(lacks)}; put it into the pattern or into --files"
            problems.append(file_problem(file.number, "unknown facts", line))
            continue
        maps.append(
            FoundMap(
                file=file.number,
                patient=patient,
                tracer=known_tracer,
                phase=phase,
                exam=row.exam or (name.exam if name else ""),
                date=row.date or date_of(name.date if name else ""),
            )
        )
    return maps, problems, left_out


def _pixels_of(source: Source, file: SourceFile, nifti_order: NiftiOrder | None) -> NDArray[Any]:
    """The pixels of one map file, `[H, W]` or `[H, W, 3]`.

    Raises:
        CohortError: Not one usable map.
    """
    lower = file.path.lower()
    if not lower.endswith((*_ARRAYS, *_PICTURES, *_NIFTI)):
        raise CohortError("a map file ends in .png, .jpg, .tif, .npy, .nii or .nii.gz; convert it or skip it")
    content = source.read(file)
    if lower.endswith(_NIFTI):
        pixels = _nifti(content, lower.endswith(".gz"), nifti_order)
    else:
        pixels = decoded(io.BytesIO(content), array=lower.endswith(_ARRAYS))
    channels = checked_channels(pixels)
    return np.ascontiguousarray(channels[0] if len(channels) == 1 else np.moveaxis(channels, 0, 2))


def _nifti(content: bytes, packed: bool, order: NiftiOrder | None) -> NDArray[Any]:
    require("nibabel", "nifti")
    from nibabel.nifti1 import Nifti1Image  # noqa: PLC0415 - an optional dependency

    # What it says of damaged files on standard error is said below, with the file's number.
    logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)
    if order is None:
        raise ExperimentError(
            "NIfTI arrays of maps are indexed in two ways: say --nifti-order row-column (from the top) or x-y "
            "(from the bottom left)"
        )
    # Eight bytes a pixel and a generous header: more is no map, and a small archive could fill the memory.
    most = 8 * MAX_SIDE**2 + 2**20
    try:
        if packed:
            with gzip.open(io.BytesIO(content)) as stream:
                content = stream.read(most + 1)
        image = Nifti1Image.from_bytes(content)
        shape = tuple(image.shape)
    except MemoryError:
        raise
    except Exception as error:  # a damaged header raises nearly anything
        raise CohortError(f"the NIfTI file cannot be read ({type(error).__name__}); write it again") from error
    if len(content) > most or len(shape) < 2 or max(shape[:2]) > MAX_SIDE or set(shape[2:]) - {1}:
        raise CohortError(f"a NIfTI map has two axes of at most {MAX_SIDE} pixels; save one map a file")
    try:
        pixels = np.asanyarray(image.dataobj).reshape(shape[:2])
    except MemoryError:
        raise
    except Exception as error:  # so do damaged data, which are read here only
        raise CohortError(f"the NIfTI file's data are damaged ({type(error).__name__}); write it again") from error
    return pixels if order == "row-column" else pixels.T[::-1]
