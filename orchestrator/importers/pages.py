"""Result pages of a vendor's program as polar maps, by a layout file.

A page is a PNG or JPEG picture, or a DICOM Secondary Capture with one or more frames. Only the discs of the maps and
the colour bar are looked at: names burned into the rest of a page are never read, and never written. Whose page it is
comes from the DICOM tags, from a pattern of the file's name, or from `--files`.
"""

import io
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mpi_model.errors import CohortError, ExperimentError
from mpi_model.regular_files import read_regular
from mpi_model.vocabulary import Tracer
from orchestrator.cohort.images import decoded
from orchestrator.cohort.problems import Problem
from orchestrator.cohort.spellings import tracer_of
from orchestrator.importers.found_maps import FoundMap, ReadMap
from orchestrator.importers.import_request import FoundSource, ImportRequest, require, source_record, write_found
from orchestrator.importers.name_patterns import NamePattern, name_pattern
from orchestrator.importers.page_colours import FOREIGN, read_colours
from orchestrator.importers.page_layout import PageLayout, PageMap, read_layout
from orchestrator.importers.sheet import picture
from orchestrator.importers.source_files import Source, SourceFile, file_problem
from orchestrator.importers.supplied_facts import FileFacts, date_of, read_files_table
from orchestrator.importers.written_cohort import WrittenCohort, check_new_folder
from orchestrator.output_files import new_named_file

_MOST_BYTES: Final = 512 * 2**20
_PICTURES: Final = (".png", ".jpg", ".jpeg")
_TEMPLATE: Final = """\
# Where what lies on a result page. Read columns and rows from {grid}: lines every {step} pixels.
program = ""                 # for import.json
version = ""
page = [{width}, {height}]            # width and height in pixels

[colour_bar]
box = [0, 0, 0, 0]           # left, top, right, bottom of the colours alone, without frame and numbers
high = "top"                 # the end with the higher percent: top, bottom, left or right
percent = [0, 100]           # at the low end and at the high end

[[map]]
phase = "stress"
centre = [0, 0]              # of the disc: column, row
radius = 0                   # to the disc's edge

[[map]]
phase = "rest"
centre = [0, 0]
radius = 0
"""


def import_pages(
    request: ImportRequest, layout_file: Path, *, pattern: str | None = None, tracer: Tracer | None = None
) -> WrittenCohort:
    """Write a cohort of result pages.

    Args:
        request: Source, folder to write and what all imports share.
        layout_file: Where what lies on the pages.
        pattern: Of file names of pictures; see `name_patterns.name_pattern`.
        tracer: Of pages whose layout, name and row of `--files` do not say it.

    Raises:
        CohortError: Anything is wrong with the source; all of it at once.
        ExperimentError: The layout, the pattern or the folder cannot be used.
    """
    layout = read_layout(layout_file)
    compiled = name_pattern(pattern) if pattern else None
    check_new_folder(request.folder)
    supplied = read_files_table(request.files)
    with Source(request.source) as source:
        maps: list[FoundMap] = []
        problems: list[Problem] = []
        left_out: dict[str, int] = {}
        for file in source.files:
            try:
                why = _look_at(source, file, supplied.of(file), compiled, layout, tracer, maps)
            except CohortError as error:
                problems += [file_problem(file.number, "unusable page", line) for line in error.problems]
                continue
            if why:
                left_out[why] = left_out.get(why, 0) + 1
        by_number = {file.number: file for file in source.files}
        found = FoundSource(
            importer="pages",
            record=source_record(source, [by_number[number] for number in dict.fromkeys(each.file for each in maps)]),
            maps=maps,
            problems=[*source.problems, *supplied.unmatched(source.files), *problems],
            settings={"program": layout.program, "version": layout.version, "tracer": tracer},
            decisions=left_out,
            panels=1,
        )
        return write_found(request, found, lambda each: _read_map(source, by_number[each.file], layout, each))


def _look_at(
    source: Source,
    file: SourceFile,
    supplied: FileFacts,
    pattern: NamePattern | None,
    layout: PageLayout,
    tracer: Tracer | None,
    maps: list[FoundMap],
) -> str:
    """Add the maps of a page; returns why the file is left out, if it is."""
    if supplied.skipped:
        return "skipped by --files"
    name = None if pattern is None else pattern.facts(file.path)
    patient = supplied.patient or (name.patient if name else "")
    date = supplied.date or date_of(name.date if name else "")
    columns: dict[str, str] = {}
    if not file.path.lower().endswith(_PICTURES):
        require("pydicom", "dicom")
        from orchestrator.importers.dicom_files import page_facts  # noqa: PLC0415 - pydicom, an optional dependency

        facts = page_facts(source.read(file))
        if facts is None:
            return "neither a picture nor a secondary capture"
        # What the user or the file's name says wins over the tags.
        patient, date = patient or facts.patient, date or facts.date
        columns = {key: text for key, text in (("sex", facts.sex), ("age", facts.age)) if text}
        tracer = next(iter(facts.tracers)) if len(facts.tracers) == 1 else tracer
    elif name is None and not supplied.row:
        return "a picture that does not fit the pattern"
    tracer = supplied.tracer or tracer_of(name.tracer if name else "") or tracer
    if not patient:
        raise CohortError("nothing says whose page this is; say `patient_id` in --files, or give --pattern")
    for part, place in enumerate(layout.maps):
        chosen = place.tracer or tracer
        if chosen is None:
            raise CohortError("nothing says the page's tracer; say `tracer` in --files, or --tracer for all")
        exam = supplied.exam or (name.exam if name else "")
        maps.append(
            FoundMap(
                file=file.number, part=part, patient=patient, tracer=chosen, phase=place.phase, exam=exam, date=date,
                columns=columns,
            )
        )  # fmt: skip
    return ""


def _page_pixels(content: bytes, path: str, frame: int) -> NDArray[np.uint8]:
    """A page as colours, `[H, W, 3]`.

    Raises:
        CohortError: It cannot be read.
    """
    if not path.lower().endswith(_PICTURES):
        require("pydicom", "dicom")
        from orchestrator.importers.dicom_files import page_frame  # noqa: PLC0415 - pydicom, an optional dependency

        return page_frame(content, frame)
    pixels = decoded(io.BytesIO(content), array=False)
    if pixels.dtype != np.uint8:
        raise CohortError("a page has 8 bits a colour, this picture has more; export the page as it is shown")
    return np.ascontiguousarray(np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else pixels)


def _read_map(source: Source, file: SourceFile, layout: PageLayout, found: FoundMap) -> ReadMap:
    place: PageMap = layout.maps[found.part]
    page = _page_pixels(source.read(file), file.path, place.frame)
    height, width = page.shape[:2]
    # A page that was scaled has its discs elsewhere: refused, not resampled.
    if (width, height) != (layout.width, layout.height):
        raise CohortError(
            f"the page is {width} × {height} pixels, the layout is for {layout.width} × {layout.height}; "
            "write a layout for it"
        )
    read = read_colours(page, place, layout.bar)
    distances = np.rint(np.clip(read.residual / FOREIGN, 0, 1) * 255).astype(np.uint8)
    return ReadMap(
        pixels=np.rint(read.percent * 2.55).astype(np.uint8),
        measured={"residual": round(read.median_residual, 2), "foreign_pixels": round(read.foreign, 4)},
        caption=f"distance from the palette {read.median_residual:.1f} (median), {read.foreign:.1%} foreign pixels",
        # Only the disc is shown: what is written around it may be a name.
        drawing=f'{picture(Image.fromarray(distances))}<text x="2" y="97">distance from the palette</text>',
    )


def write_new_layout(page: Path, folder: Path = Path()) -> tuple[Path, Path]:
    """Write `layout.toml` and `layout.png` beside one another.

    Args:
        page: One page of the program.
        folder: Where to write.

    Raises:
        CohortError: The page cannot be read.
        ExperimentError: There is no such page, or one of the files is there already.
    """
    try:
        pixels = _page_pixels(read_regular(page, _MOST_BYTES), page.name, 1)
    except OSError as error:
        raise ExperimentError(
            f"cannot read the page {page} ({error.strerror}); name a PNG, JPEG or DICOM file"
        ) from error
    except CohortError as error:
        raise CohortError(*(f"the page cannot be used: {line}" for line in error.problems)) from error
    height, width = pixels.shape[:2]
    step = 50 if max(height, width) > 400 else 20
    # Bright lines at even steps, darker ones between, so that a coordinate is read off quickly.
    image = Image.fromarray(pixels).convert("RGB")
    draw = ImageDraw.Draw(image)
    for at in range(0, width, step):
        draw.line([(at, 0), (at, height)], fill=(0, 255, 0) if at % (2 * step) == 0 else (0, 110, 0))
        draw.text((at + 2, 2), str(at), fill=(255, 255, 0), stroke_width=1, stroke_fill=(0, 0, 0))
    for at in range(0, height, step):
        draw.line([(0, at), (width, at)], fill=(0, 255, 0) if at % (2 * step) == 0 else (0, 110, 0))
        draw.text((2, at + 2), str(at), fill=(255, 255, 0), stroke_width=1, stroke_fill=(0, 0, 0))
    grid, layout = folder / "layout.png", folder / "layout.toml"
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    # Neither file is overwritten: a layout that was filled in is work.
    new_named_file(layout, _TEMPLATE.format(grid=grid.name, step=step, width=width, height=height).encode("utf-8"))
    new_named_file(grid, buffer.getvalue())
    return layout, grid
