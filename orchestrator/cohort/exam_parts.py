"""Exams that are only predicted, a part at a time, so that a manifest of any length fits into memory.

The whole text is verified first; then every image is read once. Labels, partitions and dates are not read.
"""

import hashlib
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mpi_model.errors import CohortError
from mpi_model.maps import Maps
from mpi_model.vocabulary import PHASES, TRACERS, Phase
from orchestrator.cohort.duplicates import fingerprint
from orchestrator.cohort.images import read_map
from orchestrator.cohort.manifest import ManifestExam, interpret
from orchestrator.cohort.problems import Problem, lines_of, rows_text
from orchestrator.cohort.table import TextTable, read_table_in_parts

_PART: Final = 256
"""Exams at a time."""
_READ: Final = frozenset({"patient_id", "exam_id", "tracer", *PHASES, "map_source"})


def exam_parts(manifest: Path) -> Iterator[tuple[ManifestExam, ...]]:
    """The exams of a manifest in its order, without their images.

    Raises:
        CohortError: The text of a part is not usable.
    """
    for table in read_table_in_parts(manifest, _PART):
        found = interpret(_only_read(table), manifest.parent, labelled=False)
        if found.problems:
            raise CohortError(*lines_of(found.problems))
        yield found.exams


def text_problems(manifest: Path) -> tuple[int, list[Problem]]:
    """Read a manifest's text once: how many exams it has, and all that is wrong with it."""
    problems: list[Problem] = []
    rows, names = array("Q"), array("Q")
    for table in read_table_in_parts(manifest, _PART):
        found = interpret(_only_read(table), manifest.parent, labelled=False)
        problems += found.problems
        rows.extend(exam.row for exam in found.exams)
        names.extend(_short_hash(exam.exam_id.encode("utf-8")) for exam in found.exams)
        if not found.exams:
            break  # a column is missing, in every part
    # Those of one part are found already.
    known = {problem.line for problem in problems}
    twice = [
        Problem(
            kind="exam_id given twice",
            line=f"{rows_text(group)} have one exam_id; add or correct that column (default: patient and tracer)",
        )
        for group in _groups_of_equals(names, rows)
    ]
    return len(rows), [*problems, *(problem for problem in twice if problem.line not in known)]


def _only_read(table: TextTable) -> TextTable:
    """Without the columns that a prediction does not read: a wrong date must not stop it."""
    columns = tuple(name for name in table.columns if name.casefold() in _READ)
    rows = tuple((row, {name: cells[name] for name in columns}) for row, cells in table.rows)
    return TextTable(columns=columns, rows=rows)


class ImageReader:
    """Reads the images of one exam after another; remembers what was wrong, and a short hash of every map."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._rows, self._prints = array("Q"), array("Q")

    def read(self, exams: Sequence[ManifestExam], *, size: int, channels: int, remember: bool) -> Maps:
        """The maps of some exams; black where one could not be read, which `problems` then says.

        Args:
            exams: With the paths of their images.
            size: Pixels a side.
            channels: 1 or 3, those that the networks read.
            remember: Whether equal maps are looked for among these; not when they are read a second time.
        """
        stacks = {phase: np.zeros((len(exams), channels, size, size), dtype=np.uint16) for phase in PHASES}
        for place, exam in enumerate(exams):
            for phase, path in exam.images.items():
                pixels = self._pixels(exam, phase, path, size, channels)
                if pixels is not None:
                    stacks[phase][place] = pixels
                    # Maps that were painted from the few scores of a reader are often equal in different patients.
                    if remember and exam.carried.get("map_source") != "scores":
                        self._rows.append(exam.row)
                        self._prints.append(int(fingerprint(pixels)[:16], 16))
        tracers = [TRACERS.index(exam.tracer) for exam in exams if exam.tracer is not None]
        return Maps(
            stress=stacks["stress"],
            rest=stacks["rest"],
            has_stress=np.array(["stress" in exam.images for exam in exams]),
            has_rest=np.array(["rest" in exam.images for exam in exams]),
            tracer=np.array(tracers, dtype=np.int8),
        )

    def check(self) -> None:
        """Refuse what was found; after the last image.

        Raises:
            CohortError: An image is unusable, or two are one.
        """
        equal = [
            Problem(
                kind="one image twice",
                line=f"{rows_text(set(group))}: two images have equal pixels; name each exam's own image, and "
                "leave the phase that was not acquired blank",
            )
            for group in _groups_of_equals(self._prints, self._rows)
        ]
        if problems := [*self.problems, *equal]:
            raise CohortError(*lines_of(problems))

    def _pixels(
        self, exam: ManifestExam, phase: Phase, path: Path, size: int, channels: int
    ) -> NDArray[np.uint16] | None:
        try:
            pixels = read_map(path, size=size)
            if len(pixels) > channels:
                raise CohortError("it is a colour image, but the networks were trained on grey ones; export them alike")
        except CohortError as error:
            # The row instead of the path, which may contain a patient's name.
            line = f"{rows_text([exam.row])}, {phase} image: {error}"
            self.problems.append(Problem(kind="unusable image", line=line))
            return None
        # A grey map says the same in each colour that the networks read.
        return pixels


def _short_hash(content: bytes) -> int:
    # 64 bits: two of a million texts share one with a chance of 3 in 100 million.
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest())


def _groups_of_equals(values: "array[int]", rows: "array[int]") -> list[list[int]]:
    """The rows of values that occur more than once."""
    found, numbers = np.frombuffer(values, dtype=np.uint64), np.frombuffer(rows, dtype=np.uint64)
    order = np.argsort(found, kind="stable")
    starts = np.flatnonzero(np.diff(found[order], prepend=found[order][:1] + np.uint64(1)))
    groups = np.split(numbers[order], starts[1:]) if len(found) else []
    return [group.tolist() for group in groups if len(group) > 1]
