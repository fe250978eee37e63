"""Relative uptake without coronary disease: attenuation, apical thinning, septum, and variation."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from orchestrator.phantom.geometry import PolarGrid, angular_distance
from orchestrator.phantom.parameters import HeartParameters, ImagingParameters, NormalParameters
from orchestrator.phantom.streams import Integers, Stage, Streams, lognormal, pick
from orchestrator.statistics.scores import Floats

# Order of the harmonic around the ventricle and of the cosine along it; the constant is left out.
_ORDERS: Final = tuple((k, m) for k in range(5) for m in range(3) if k + m > 0)
COEFFICIENTS: Final = sum(1 if k == 0 else 2 for k, _ in _ORDERS)
"""The number of random coefficients of one smooth field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Anatomy:
    """The properties of n patients that are the same in every scan; drops are those of Tc-99m."""

    circumference_mm: Floats
    """`[n]`, mid-wall, at the base."""
    inferior_drop: Floats
    """`[n]`, by the diaphragm, 0 to 1."""
    anterior_drop: Floats
    """`[n]`, by the breast, 0 to 1."""
    anterior_angle: Floats
    """`[n]`, degrees, centre of the anterior drop, between anterior and lateral."""
    septal_shortening: Floats
    """`[n]`, drop at the membranous septum."""
    apical_drop: Floats
    """`[n]`, apical thinning."""
    pattern: Floats
    """`[n, COEFFICIENTS]`, the patient's smooth pattern."""
    artefact: Floats
    """`[n]`, extra drop of a strong attenuation artefact, 0 in most patients."""


def draw_anatomy(
    streams: Streams,
    sex: Integers,
    heart: HeartParameters,
    normals: NormalParameters,
    imaging: ImagingParameters,
) -> Anatomy:
    """Draw the anatomy of the n patients of the streams; `sex` `[n]` indexes `parameters.SEXES`."""
    z, u = streams.draw(Stage.ANATOMY, normals=6 + COEFFICIENTS, uniforms=3)
    size = pick(heart.circumference_mm, sex) + heart.circumference_sd_mm * np.clip(z[:, 0], -2.5, 2.5)
    low, high = imaging.artefact
    strong = u[:, 0] < pick(imaging.artefact_share, sex)
    return Anatomy(
        circumference_mm=size,
        inferior_drop=lognormal(z[:, 1], pick(normals.inferior_drop, sex), normals.inferior_cv),
        anterior_drop=lognormal(z[:, 2], pick(normals.anterior_drop, sex), normals.anterior_cv),
        # Clipped normals keep the anatomy plausible; 76 degrees is between anterior and anterolateral.
        anterior_angle=76.0 + 18.0 * np.clip(z[:, 5], -2.0, 2.0),
        septal_shortening=lognormal(z[:, 3], normals.septal_shortening, normals.septal_shortening_cv),
        apical_drop=lognormal(z[:, 4], normals.apical_drop, normals.apical_drop_cv),
        pattern=z[:, 6:],
        artefact=np.where(strong, low + (high - low) * u[:, 1], 0.0),
    )


@lru_cache(maxsize=8)
def _smooth_basis(grid: PolarGrid) -> Floats:
    """Functions `[COEFFICIENTS, R, A]` whose mixture with standard normal weights has variance 1 everywhere.

    Harmonics up to the fourth around the ventricle and cosines along it, with amplitudes that fall with the order, so
    that the field is correlated over about 40 degrees.
    """
    turn = np.radians(grid.angle)
    functions = []
    for k, m in _ORDERS:
        scale = np.exp(-((k / 1.9) ** 2) / 2.0 - ((m / 1.2) ** 2) / 2.0)
        # tanh(r)^k makes the k-th harmonic vanish at the apex, where all angles meet.
        along = scale * np.tanh(grid.radius / 0.2) ** k * np.cos(np.pi * m * grid.radius)
        waves = [np.ones_like(turn)] if k == 0 else [np.cos(k * turn), np.sin(k * turn)]
        functions += [along * wave for wave in waves]
    basis = np.stack(functions)
    return np.asarray(basis / np.sqrt(np.square(basis).sum(axis=0)))


def _smooth_field(grid: PolarGrid, coefficients: Floats) -> Floats:
    """Smooth fields `[n, R, A]` of variance 1 from standard normal coefficients `[n, COEFFICIENTS]`."""
    basis = _smooth_basis(grid).reshape(COEFFICIENTS, -1)
    field: Floats = np.einsum("nk,kc->nc", coefficients, basis)
    return field.reshape(len(coefficients), *grid.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanVariation:
    """The difference of one scan of n exams from the patient's mean scan."""

    inferior_shift: Floats
    """`[n]`, added to the inferior drop."""
    anterior_shift: Floats
    """`[n]`, added to the anterior drop."""
    artefact_factor: Floats
    """`[n]`, factor on the artefact in this scan."""
    pattern: Floats
    """`[n, COEFFICIENTS]`, standard normal."""


def normal_uptake(
    grid: PolarGrid,
    anatomy: Anatomy,
    sex: Integers,
    tracer: Integers,
    scan: ScanVariation,
    parameters: NormalParameters,
) -> Floats:
    """Relative uptake `[n, R, A]` without disease, about 1 in the lateral wall.

    `sex` and `tracer` are `[n]` indices into `parameters.SEXES` and `TRACERS`.
    """
    factor = np.where(tracer == 1, parameters.thallium_factor, 1.0)
    artefact = anatomy.artefact * scan.artefact_factor
    # The breast attenuates women's anterior wall, the diaphragm men's inferior wall.
    woman = sex == 0
    inferior = np.maximum(anatomy.inferior_drop + scan.inferior_shift, 0.0) + np.where(woman, 0.0, artefact)
    anterior = np.maximum(anatomy.anterior_drop + scan.anterior_shift, 0.0) + np.where(woman, artefact, 0.0)
    uptake = _attenuation(grid, factor * inferior, factor * anterior, anatomy.anterior_angle)
    uptake *= _shape(grid, anatomy, parameters)
    uptake *= 1.0 + parameters.patient_variation * _smooth_field(grid, anatomy.pattern)
    uptake *= 1.0 + parameters.scan_variation * _smooth_field(grid, scan.pattern)
    return uptake


def _attenuation(grid: PolarGrid, inferior: Floats, anterior: Floats, anterior_angle: Floats) -> Floats:
    # The diaphragm covers the inferior wall up to the base, the breast a patch of the anterior wall. Both are Gaussians
    # in angle, and losses of two absorbers multiply.
    toward_base = _ramp(grid.radius, 0.1, 0.6)
    below = np.exp(-0.5 * (angular_distance(grid.angle, 262.0) / 38.0) ** 2) * toward_base
    from_breast = angular_distance(grid.angle, anterior_angle[:, None, None])
    front = np.exp(-0.5 * (from_breast / 36.0) ** 2) * np.exp(-0.5 * ((grid.radius - 0.55) / 0.32) ** 2)
    loss = np.minimum(inferior, 0.6)[:, None, None] * below
    return np.asarray((1.0 - loss) * (1.0 - np.minimum(anterior, 0.6)[:, None, None] * front))


def _shape(grid: PolarGrid, anatomy: Anatomy, parameters: NormalParameters) -> Floats:
    # The membranous septum takes no tracer; the basal anterolateral wall is the longest, and keeps its base.
    septal = np.exp(-0.5 * (angular_distance(grid.angle, 180.0) / 42.0) ** 2)
    membranous = np.minimum(anatomy.septal_shortening, 0.5)[:, None, None] * septal * _ramp(grid.radius, 0.72, 1.0)
    thinning = anatomy.apical_drop[:, None, None] * np.exp(-0.5 * (grid.radius / 0.2) ** 2)
    long_wall = np.exp(-0.5 * (angular_distance(grid.angle, 30.0) / 40.0) ** 2)
    rim = parameters.base_drop * (1.0 - long_wall) * _ramp(grid.radius, 0.85, 1.0)
    steady = (1.0 - parameters.septal_drop * septal) * (1.0 - rim)
    return np.asarray(steady * (1.0 - membranous) * (1.0 - thinning))


def _ramp(radius: Floats, start: float, end: float) -> Floats:
    """0 up to `start`, 1 from `end` on, smooth between."""
    part = np.clip((radius - start) / (end - start), 0.0, 1.0)
    return np.asarray(part * part * (3.0 - 2.0 * part))  # the cubic 3t² - 2t³, flat at both ends
