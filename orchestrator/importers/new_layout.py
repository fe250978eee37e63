"""A layout file to fill in, and the page with a grid to read coordinates from."""

import io
from pathlib import Path

from PIL import Image, ImageDraw

from mpi_model.errors import CohortError, ExperimentError
from orchestrator.importers.pages import page_pixels
from orchestrator.output_files import new_named_file

_TEMPLATE = """\
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


def write_new_layout(page: Path, folder: Path = Path()) -> tuple[Path, Path]:
    """Write `layout.toml` and `layout.png` beside one another.

    Args:
        page: One page of the program.
        folder: Where to write.

    Raises:
        CohortError: The page cannot be read.
        ExperimentError: There is no such page, or one of the files is there already.
    """
    if not page.is_file():
        raise ExperimentError(f"there is no page {page}; name a PNG, JPEG or DICOM file")
    try:
        pixels = page_pixels(page.read_bytes(), page.name, 1)
    except CohortError as error:
        raise CohortError(*(f"the page cannot be used: {line}" for line in error.problems)) from error
    height, width = pixels.shape[:2]
    step = 50 if max(height, width) > 400 else 20
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
    new_named_file(layout, _TEMPLATE.format(grid=grid.name, step=step, width=width, height=height).encode("utf-8"))
    new_named_file(grid, buffer.getvalue())
    return layout, grid
