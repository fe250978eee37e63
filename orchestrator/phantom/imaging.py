"""From uptake to counts: spill, registration, truncation, resolution, count noise."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from orchestrator.phantom.geometry import PolarGrid, angular_distance, bilinear
from orchestrator.phantom.normals import COEFFICIENTS, ScanVariation
from orchestrator.phantom.parameters import HeartParameters, ImagingParameters, NormalParameters
from orchestrator.phantom.streams import Floats, Integers, lognormal, pick

SCALARS: Final = 8
SCAN_NORMALS: Final = SCALARS + COEFFICIENTS
"""Normal numbers of one scan besides the noise; each scan has its own block of them."""
SCAN_UNIFORMS: Final = 6
_SIGMA_PER_FWHM: Final = 1.0 / np.sqrt(8.0 * np.log(2.0))
_REACH_SIGMAS: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """One scan of n exams: everything that differs from scan to scan except the noise itself."""

    variation: ScanVariation
    rotation: Floats
    """`[n]`, degrees."""
    apex_shift: Floats
    """`[n, 2]`, radii toward lateral and anterior."""
    stretch: Floats
    """`[n]`, factor on the radius."""
    cut_angle: Floats
    """`[n]`, degrees, where the base was cut."""
    cut_depth: Floats
    """`[n]`, loss of the outermost ring there; 0 in most scans."""
    spill: Floats
    """`[n]`, extra uptake beside the inferior wall; 0 in most scans."""
    spill_angle: Floats
    """`[n]`, degrees."""
    peak_counts: Floats
    """`[n]`, expected counts of the hottest sample."""


def draw_scan(
    z: Floats,
    u: Floats,
    tracer: Integers,
    phase: int,
    imaging: ImagingParameters,
    normals: NormalParameters,
) -> Scan:
    """A scan of phase 0 (stress) or 1 (rest) from normal `[n, SCAN_NORMALS]` and uniform `[n, SCAN_UNIFORMS]`."""
    phases = np.full_like(tracer, phase)
    low, high = imaging.spill
    spilled = u[:, 2] < pick(imaging.spill_share, tracer, phases)
    agree = imaging.artefact_agreement
    variation = ScanVariation(
        inferior_shift=normals.attenuation_shift * z[:, 0],
        anterior_shift=normals.attenuation_shift * z[:, 1],
        artefact_factor=agree + 2.0 * (1.0 - agree) * u[:, 5],
        pattern=z[:, SCALARS:],
    )
    return Scan(
        variation=variation,
        rotation=imaging.rotation_sd_degrees * z[:, 2],
        apex_shift=imaging.apex_shift_sd * z[:, 3:5],
        stretch=1.0 + imaging.stretch_sd * np.clip(z[:, 5], -3.0, 3.0),
        cut_angle=360.0 * u[:, 1],
        cut_depth=np.where(u[:, 0] < imaging.truncation_share, imaging.truncation_depth, 0.0),
        spill=np.where(spilled, low + (high - low) * u[:, 3], 0.0),
        spill_angle=240.0 + 60.0 * u[:, 4],
        peak_counts=lognormal(z[:, 6], pick(imaging.peak_counts, tracer, phases), imaging.peak_counts_cv),
    )


def acquire(
    grid: PolarGrid,
    uptake: Floats,
    scan: Scan,
    noise: Floats,
    *,
    tracer: Integers,
    circumference_mm: Floats,
    held: Floats,
    heart: HeartParameters,
    imaging: ImagingParameters,
) -> Floats:
    """Counts `[n, R, A]` that a scan shows of an uptake `[n, R, A]`.

    `noise` holds standard normal numbers `[n, R, A]`; `held` `[n]` is the part of the tracer that has not been
    washed out. Noise enters with the variance of the counts before the reconstruction's filter, so that the
    filter correlates it over the same distance as the image.
    """
    sigma = pick(imaging.resolution_mm, tracer) * _SIGMA_PER_FWHM
    seen = _truncated(grid, resample(grid, _with_spill(grid, uptake, scan), scan), scan)
    activity = blur(grid, seen, sigma, circumference_mm, heart)
    activity *= (scan.peak_counts * held / activity.max(axis=(1, 2)))[:, None, None]
    # A sample near the apex stands for less myocardium than one at the base, so its counts vary more.
    spread = np.sqrt(imaging.noise_gain * activity * (grid.mass.mean() / grid.mass))
    counts = activity + blur(grid, noise * spread, sigma, circumference_mm, heart)
    return np.maximum(counts, 0.0)


def _with_spill(grid: PolarGrid, uptake: Floats, scan: Scan) -> Floats:
    off = angular_distance(grid.angle, scan.spill_angle[:, None, None])
    beside = np.exp(-0.5 * (off / 22.0) ** 2) * np.clip((grid.radius - 0.35) / 0.4, 0.0, 1.0)
    return np.asarray(uptake + scan.spill[:, None, None] * beside)


def _truncated(grid: PolarGrid, field: Floats, scan: Scan) -> Floats:
    off = angular_distance(grid.angle, scan.cut_angle[:, None, None])
    rim = np.clip((grid.radius - 0.85) / 0.12, 0.0, 1.0)
    return np.asarray(field * (1.0 - scan.cut_depth[:, None, None] * rim * np.exp(-0.5 * (off / 50.0) ** 2)))


def resample(grid: PolarGrid, field: Floats, scan: Scan) -> Floats:
    """The field `[n, R, A]` as the processing samples it: rotated, stretched, its apex off the centre."""
    rings, angles = grid.shape
    turn = np.radians(grid.angle - scan.rotation[:, None, None])
    radius = grid.radius * scan.stretch[:, None, None]
    x = radius * np.cos(turn) + scan.apex_shift[:, 0, None, None] * (1.0 - grid.radius)
    y = radius * np.sin(turn) + scan.apex_shift[:, 1, None, None] * (1.0 - grid.radius)
    step = np.mod(np.degrees(np.arctan2(y, x)), 360.0) * (angles / 360.0)
    samples, weights = bilinear(rings, angles, np.hypot(x, y) * rings - 0.5, step)
    flat = field.reshape(len(field), -1)
    rows = np.arange(len(field))[:, None, None]
    return np.asarray(sum(flat[rows, at] * weight for at, weight in zip(samples, weights, strict=True)))


def blur(grid: PolarGrid, field: Floats, sigma_mm: Floats, circumference_mm: Floats, heart: HeartParameters) -> Floats:
    """The field `[n, R, A]` blurred along the wall by a Gaussian of `sigma_mm` `[n]`."""
    rings, angles = grid.shape
    turn = 2.0 * np.pi * sigma_mm[:, None] / (circumference_mm[:, None] * grid.girth)
    order = np.arange(angles // 2 + 1)
    damping = np.exp(-0.5 * (turn[:, :, None] * order) ** 2)
    around = np.fft.irfft(np.fft.rfft(field, axis=2) * damping, n=angles, axis=2)
    spacing = circumference_mm * heart.length_to_circumference / rings
    return _blur_along(around, sigma_mm / spacing)


def _blur_along(field: Floats, sigma: Floats) -> Floats:
    """Blurred from ring to ring by `sigma` `[n]` rings; across the apex a ring meets its opposite side."""
    rings, angles = field.shape[1:]
    reach = min(int(np.ceil(_REACH_SIGMAS * sigma.max())), rings)
    beyond_apex = np.roll(field[:, :reach], angles // 2, axis=2)[:, ::-1]
    beyond_base = np.repeat(field[:, -1:], reach, axis=1)
    padded = np.concatenate([beyond_apex, field, beyond_base], axis=1)
    offsets = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * (offsets / sigma[:, None]) ** 2)
    kernel /= kernel.sum(axis=1, keepdims=True)
    blurred = np.zeros_like(field)
    for index in range(len(offsets)):
        blurred += kernel[:, index, None, None] * padded[:, index : index + rings]
    return blurred
