"""Random numbers that depend on the seed, the patient and the purpose only, whatever else is simulated."""

from dataclasses import dataclass, fields
from enum import IntEnum
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from orchestrator.statistics.scores import Floats

Integers = NDArray[np.int64]
_Record = TypeVar("_Record")


class Stage(IntEnum):
    """The purpose of a stream. A new purpose takes a new number, so that the old streams stay the same."""

    PATIENT = 0
    ANATOMY = 1
    DISEASE = 2
    SCAN = 3
    READING = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """The random streams of n rows, which are patients or, with `branches`, exams."""

    seed: int
    patients: Integers
    """`[n]`, patient numbers."""
    branches: Integers
    """`[n]`, 0 for a patient, 1 + index of the tracer for an exam."""
    acquisition: int = 0
    """Another number repeats the scans of the same patients."""

    def draw(self, stage: Stage, *, normals: int, uniforms: int) -> tuple[Floats, Floats]:
        """Standard normal `[n, normals]` and uniform `[n, uniforms]` numbers, independent of every other row."""
        normal = np.empty((len(self.patients), normals))
        uniform = np.empty((len(self.patients), uniforms))
        repetition = self.acquisition if stage == Stage.SCAN else 0
        # One generator for each row: a patient's numbers do not depend on the other rows of the chunk.
        for row, (patient, branch) in enumerate(zip(self.patients, self.branches, strict=True)):
            key = (int(patient), int(branch), int(stage), repetition)
            generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(self.seed, spawn_key=key)))
            normal[row] = generator.standard_normal(normals)
            uniform[row] = generator.random(uniforms)
        return normal, uniform


def pick(table: tuple[object, ...], *indices: Integers) -> Floats:
    """Elements `[n]` of a (nested) tuple of numbers, one for each row of the index arrays `[n]`."""
    return np.asarray(table, dtype=np.float64)[tuple(indices)]


def lognormal(normal: Floats, mean: Floats | float, cv: Floats | float) -> Floats:
    """Lognormal variables of a given mean and coefficient of variation, from standard normal ones of any shape."""
    # With sigma² = ln(1 + cv²) and mu = ln(mean) - sigma²/2 the mean and the coefficient of variation are exact.
    variance = np.log1p(np.square(cv))
    return np.asarray(mean * np.exp(np.sqrt(variance) * normal - variance / 2.0))


def take_rows(record: _Record, rows: Integers) -> _Record:
    """A dataclass of arrays `[n, …]` reduced to some rows, which may repeat."""
    names = [field.name for field in fields(record)]  # type: ignore[arg-type] # every caller passes a dataclass
    return type(record)(**{name: getattr(record, name)[rows] for name in names})
