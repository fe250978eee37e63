"""Random numbers that belong to a patient and a purpose, whatever else is simulated."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class Stage(IntEnum):
    """What a stream of random numbers is for; a new purpose takes a new number."""

    PERSON = 0
    ANATOMY = 1
    DISEASE = 2
    SCAN = 3
    READING = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """The random streams of n rows: patients, or exams when `branches` names each row's tracer."""

    seed: int
    patients: Integers
    """`[n]`, patient numbers."""
    branches: Integers
    """`[n]`, a second number: 0 for a patient, 1 + tracer index for an exam."""
    acquisition: int = 0
    """Another number scans the same patients once more."""

    def draw(self, stage: Stage, *, normals: int, uniforms: int) -> tuple[Floats, Floats]:
        """Standard normal `[n, normals]` and uniform `[n, uniforms]` numbers, independent of every other row."""
        normal = np.empty((len(self.patients), normals))
        uniform = np.empty((len(self.patients), uniforms))
        take = self.acquisition if stage == Stage.SCAN else 0
        for row, (patient, branch) in enumerate(zip(self.patients, self.branches, strict=True)):
            key = (int(patient), int(branch), int(stage), take)
            generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(self.seed, spawn_key=key)))
            normal[row] = generator.standard_normal(normals)
            uniform[row] = generator.random(uniforms)
        return normal, uniform


def pick(table: tuple[object, ...], *indices: Integers) -> Floats:
    """Elements of a (nested) tuple of numbers, one for each row of the index arrays."""
    return np.asarray(table, dtype=np.float64)[tuple(indices)]


def lognormal(normal: Floats, mean: Floats | float, cv: Floats | float) -> Floats:
    """Lognormal variables of given mean and coefficient of variation from standard normal ones."""
    variance = np.log1p(np.square(cv))
    return np.asarray(mean * np.exp(np.sqrt(variance) * normal - variance / 2.0))
