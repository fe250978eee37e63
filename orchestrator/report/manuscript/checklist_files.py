"""An answered checklist as a file: CSV, HTML or DOCX, the same bytes every time."""

import csv
import io
import time
import zipfile
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from mpi_model.errors import ExperimentError
from orchestrator.report.manuscript.checklists import Answered, Checklist

_COLUMNS: Final = ("item", "topic", "asks for", "state", "answer", "in the report", "to be written by you")
# A spreadsheet takes a cell that begins with one of these for a formula, which could call other programs.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a ZIP archive can hold."""


def checklist_file(checklist: Checklist, study: str, titles: Mapping[str, str], text_format: str) -> bytes:
    """The file's content.

    Args:
        checklist: Answered.
        study: The experiment's name.
        titles: Headings of the report's sections by their keys.
        text_format: A key of `CHECKLIST_FORMATS`.

    Raises:
        ExperimentError: DOCX was asked for and its package is not installed.
    """
    return CHECKLIST_FORMATS[text_format](checklist, study, titles)


def _row(item: Answered, titles: Mapping[str, str]) -> tuple[str, ...]:
    places = "; ".join(titles[key] for key in item.sections)
    return (item.item, item.topic, item.asks, item.state, item.answer, places, item.yours)


def _csv(checklist: Checklist, study: str, titles: Mapping[str, str]) -> bytes:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow(_COLUMNS)
    for item in checklist.items:
        writer.writerow([f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in _row(item, titles)])
    # With a byte-order mark, without which Excel does not take a CSV for UTF-8.
    return stream.getvalue().encode("utf-8-sig")


def _html(checklist: Checklist, study: str, titles: Mapping[str, str]) -> bytes:
    environment = Environment(
        loader=PackageLoader("orchestrator.report.manuscript"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("checklist_file.html")
    return template.render(checklist=checklist, study=study, titles=titles).encode("utf-8")


def _docx(checklist: Checklist, study: str, titles: Mapping[str, str]) -> bytes:
    try:
        from docx import Document  # noqa: PLC0415 - an optional part
        from docx.enum.section import WD_ORIENT  # noqa: PLC0415
    except ImportError as error:
        raise ExperimentError(
            'a DOCX file needs python-docx; install it: pip install "polarmap-tune[docx]", or choose html or csv'
        ) from error
    if time.localtime().tm_year < _EPOCH[0]:
        # python-docx writes a ZIP archive, which knows no year before 1980.
        raise ExperimentError("the clock of this machine is before 1980; set it, or choose html or csv")
    document = Document()
    page = document.sections[0]
    page.orientation = WD_ORIENT.LANDSCAPE
    page.page_width, page.page_height = page.page_height, page.page_width
    document.add_heading(f"{study}: {checklist.name}", level=1)
    document.add_paragraph(f"{checklist.summary} Items in our own words, after: {checklist.reference.text}")
    table = document.add_table(rows=1, cols=len(_COLUMNS), style="Table Grid")
    for cell, name in zip(table.rows[0].cells, _COLUMNS, strict=True):
        cell.paragraphs[0].add_run(name).bold = True
    for item in checklist.items:
        for cell, text in zip(table.add_row().cells, _row(item, titles), strict=True):
            cell.text = _printable(text)
    stream = io.BytesIO()
    document.save(stream)
    return _undated(stream.getvalue())


def _printable(text: str) -> str:
    """Without control characters, which XML cannot hold."""
    return "".join(letter for letter in text if letter.isprintable() or letter in "\n\t")


def _undated(archive: bytes) -> bytes:
    """The same ZIP archive with one fixed time, so that its bytes do not depend on when it was written."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as read, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as written:
        for name in read.namelist():
            written.writestr(zipfile.ZipInfo(name, date_time=_EPOCH), read.read(name), zipfile.ZIP_DEFLATED)
    return stream.getvalue()


CHECKLIST_FORMATS: Final[Mapping[str, Callable[[Checklist, str, Mapping[str, str]], bytes]]] = MappingProxyType(
    {"docx": _docx, "html": _html, "csv": _csv}
)
"""The formats of checklists."""
