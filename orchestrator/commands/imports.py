"""`polarmap import …` and `polarmap merge`: from what a clinic has to a cohort."""

import argparse
from collections.abc import Callable

from mpi_model.errors import ExperimentError
from mpi_model.printable import printable
from orchestrator.importers.exams import patient_names
from orchestrator.importers.folder import import_folder
from orchestrator.importers.import_request import ImportRequest, require
from orchestrator.importers.label_rules import label_rules
from orchestrator.importers.merge import merge_imports, parts_of
from orchestrator.importers.segments import import_segments
from orchestrator.importers.source_files import Source
from orchestrator.importers.written_cohort import Advance, WrittenCohort
from orchestrator.monitoring.progress import progress_callback
from orchestrator.terminal.progress import progress_for


def dicom_sa(arguments: argparse.Namespace) -> int:
    """`polarmap import dicom-sa SOURCE DIR`."""
    require("pydicom", "dicom")
    from orchestrator.importers.dicom_sa import import_dicom_sa  # noqa: PLC0415 - pydicom, an optional dependency
    from orchestrator.importers.short_axis import Sampling  # noqa: PLC0415 - scipy

    sampling = Sampling(rings=arguments.rings, angles=arguments.angles, size=arguments.size)
    return _imported(
        arguments,
        lambda request: import_dicom_sa(
            request,
            sampling=sampling,
            tracer=arguments.tracer,
            direction=arguments.direction,
            attenuation=arguments.attenuation,
        ),
    )


def pages(arguments: argparse.Namespace) -> int:
    """`polarmap import pages SOURCE LAYOUT DIR`, or `--new-layout PAGE`."""
    from orchestrator.importers.pages import import_pages, write_new_layout  # noqa: PLC0415 - likewise

    if arguments.new_layout is not None and arguments.source is not None:
        raise ExperimentError("--new-layout PAGE is called alone: fill the layout in, then import with it")
    if arguments.new_layout is not None:
        layout, grid = write_new_layout(arguments.new_layout)
        print(f"{layout} written to fill in, {grid} to read coordinates from (it shows the page: keep it private)")
        return 0
    if arguments.folder is None:
        raise ExperimentError("`polarmap import pages` needs SOURCE, LAYOUT and DIR, or --new-layout PAGE")
    return _imported(
        arguments,
        lambda request: import_pages(request, arguments.layout, pattern=arguments.pattern, tracer=arguments.tracer),
    )


def segments(arguments: argparse.Namespace) -> int:
    """`polarmap import segments CSV DIR`."""
    return _imported(arguments, lambda request: import_segments(request, kind=arguments.values, size=arguments.size))


def folder(arguments: argparse.Namespace) -> int:
    """`polarmap import folder SOURCE DIR`."""
    return _imported(
        arguments,
        lambda request: import_folder(
            request, pattern=arguments.pattern, tracer=arguments.tracer, nifti_order=arguments.nifti_order
        ),
    )


def list_files(arguments: argparse.Namespace) -> int:
    """`polarmap import list SOURCE`: the only output that shows file names."""
    with Source(arguments.source) as source:
        for file in source.files:
            # A name may hold bytes that are no UTF-8, or command the terminal: such letters are shown escaped.
            print(f"{file.number}\t{printable(file.path)}")
    return 0


def merge(arguments: argparse.Namespace) -> int:
    """`polarmap merge DIR SITE=IMPORT …`."""
    with progress_callback(progress_for(), "reading maps") as advance:
        written = merge_imports(
            arguments.folder, parts_of(arguments.parts), same_ids=arguments.same_ids, progress=advance
        )
    return _print_written(written)


def _imported(arguments: argparse.Namespace, run: Callable[[ImportRequest], WrittenCohort]) -> int:
    """Read what all imports share, run one, and print the result."""
    with progress_callback(progress_for(), "reading maps") as advance:
        written = run(_request(arguments, advance))
    return _print_written(written)


def _request(arguments: argparse.Namespace, advance: Advance) -> ImportRequest:
    return ImportRequest(
        source=arguments.source,
        folder=arguments.folder,
        # A table of segments has no `--files`: its rows say everything themselves.
        files=getattr(arguments, "files", None),
        exams=arguments.exams,
        carry=arguments.carry,
        rules=label_rules(arguments.rules),
        names=patient_names(arguments.pseudonymise, kept=arguments.keep_ids),
        exam_days=arguments.exam_days,
        format=arguments.format,
        progress=advance,
    )


def _print_written(written: WrittenCohort) -> int:
    print(f"{written.manifest} written: {written.counts}; look through sheet.html beside it")
    for notice in written.notices:
        print(f"  {notice}")
    return 0
