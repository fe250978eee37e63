"""From uptake to images: extracardiac spill, registration, truncation, resolution, count noise."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.phantom.geometry import PolarGrid, angular_distance, bilinear, paint
from orchestrator.phantom.normals import COEFFICIENTS, Anatomy, ScanVariation, normal_uptake
from orchestrator.phantom.parameters import HeartParameters, ImagingParameters, NormalParameters, PhantomParameters
from orchestrator.phantom.streams import Integers, Stage, Streams, lognormal, pick
from orchestrator.statistics.scores import Floats

_MAX_COUNT: Final = 65535
# Random numbers of one scan besides the noise. Every scan has its own block of them.
_SCALARS: Final = 8
_SCAN_NORMALS: Final = _SCALARS + COEFFICIENTS
_SCAN_UNIFORMS: Final = 6
_SIGMA_PER_FWHM: Final = 1.0 / np.sqrt(8.0 * np.log(2.0))
_REACH_SIGMAS: Final = 3.0  # the kernel is cut there; 0.3 % of a Gaussian lies outside


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scan:
    """One scan of n exams: everything that differs between scans, except the noise."""

    variation: ScanVariation
    rotation: Floats
    """`[n]`, degrees."""
    apex_shift: Floats
    """`[n, 2]`, shift of the apex toward lateral and anterior, in radii."""
    stretch: Floats
    """`[n]`, factor on the radius."""
    cut_angle: Floats
    """`[n]`, degrees, centre of a wrong cut at the base."""
    cut_depth: Floats
    """`[n]`, loss of the outermost ring there, 0 to 1; 0 in most scans."""
    spill: Floats
    """`[n]`, extra relative uptake beside the inferior wall; 0 in most scans."""
    spill_angle: Floats
    """`[n]`, degrees."""
    peak_counts: Floats
    """`[n]`, expected counts of the hottest sample."""


def scan_images(
    grid: PolarGrid,
    anatomy: Anatomy,
    deficits: tuple[Floats, Floats],
    *,
    sex: Integers,
    tracer: Integers,
    hours: Floats,
    streams: Streams,
    size: int,
    parameters: PhantomParameters,
) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Scan n exams at stress and at rest.

    Args:
        grid: The polar grid of R rings and A angles.
        anatomy: The anatomy of the n exams.
        deficits: `[n, R, A]` each, lost part of the uptake at stress and at rest.
        sex: `[n]`, index into `parameters.SEXES`.
        tracer: `[n]`, index into `TRACERS`.
        hours: `[n]`, delay of the Tl-201 redistribution scan.
        streams: The random streams of the exams.
        size: Pixels along an edge of the images.
        parameters: All parameters of the phantom.

    Returns:
        `[n, size, size]` each, counts; 0 outside the disc.
    """
    block = _SCAN_NORMALS + grid.radius.size
    z, u = streams.draw(Stage.SCAN, normals=2 * block, uniforms=2 * _SCAN_UNIFORMS)
    washout = np.where(tracer == 1, np.log(2.0) / parameters.disease.washout_half_life_hours[0], 0.0)
    images = []
    for phase, deficit in enumerate(deficits):
        normals, noise = np.split(z[:, phase * block : (phase + 1) * block], [_SCAN_NORMALS], axis=1)
        uniforms = u[:, phase * _SCAN_UNIFORMS : (phase + 1) * _SCAN_UNIFORMS]
        scan = _draw_scan(normals, uniforms, tracer, phase, parameters.imaging, parameters.normals)
        normal = normal_uptake(grid, anatomy, sex, tracer, scan.variation, parameters.normals)
        counts = _acquire(
            grid,
            normal * (1.0 - deficit),
            scan,
            noise.reshape(-1, *grid.shape),
            tracer=tracer,
            circumference_mm=anatomy.circumference_mm,
            retained=np.exp(-washout * hours * phase),
            heart=parameters.heart,
            imaging=parameters.imaging,
        )
        images.append(np.minimum(np.rint(paint(counts, size)), _MAX_COUNT).astype(np.uint16))
    return images[0], images[1]


def _draw_scan(
    z: Floats,
    u: Floats,
    tracer: Integers,
    phase: int,
    imaging: ImagingParameters,
    normals: NormalParameters,
) -> _Scan:
    """A scan of phase 0 (stress) or 1 (rest), from normal `[n, _SCAN_NORMALS]` and uniform `[n, _SCAN_UNIFORMS]`."""
    phases = np.full_like(tracer, phase)
    low, high = imaging.spill
    spilled = u[:, 2] < pick(imaging.spill_share, tracer, phases)
    agree = imaging.artefact_agreement
    variation = ScanVariation(
        inferior_shift=normals.attenuation_shift * z[:, 0],
        anterior_shift=normals.attenuation_shift * z[:, 1],
        artefact_factor=agree + 2.0 * (1.0 - agree) * u[:, 5],
        pattern=z[:, _SCALARS:],
    )
    return _Scan(
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


def _acquire(
    grid: PolarGrid,
    uptake: Floats,
    scan: _Scan,
    noise: Floats,
    *,
    tracer: Integers,
    circumference_mm: Floats,
    retained: Floats,
    heart: HeartParameters,
    imaging: ImagingParameters,
) -> Floats:
    """The counts of a scan.

    Args:
        grid: The polar grid.
        uptake: `[n, R, A]`, relative uptake.
        scan: The scan of n exams.
        noise: `[n, R, A]`, standard normal numbers.
        tracer: `[n]`, index into `TRACERS`.
        circumference_mm: `[n]`, at the base.
        retained: `[n]`, part of the tracer that has not been washed out.
        heart: Size of the ventricle.
        imaging: Resolution and noise.

    Returns:
        `[n, R, A]`, counts, not yet rounded.
    """
    sigma = pick(imaging.resolution_mm, tracer) * _SIGMA_PER_FWHM
    sampled = _truncated(grid, _resample(grid, _with_spill(grid, uptake, scan), scan), scan)
    activity = _blur(grid, sampled, sigma, circumference_mm, heart)
    activity *= (scan.peak_counts * retained / activity.max(axis=(1, 2)))[:, None, None]
    # A sample near the apex represents less myocardium than one at the base, so that its counts vary more.
    spread = np.sqrt(imaging.noise_gain * activity * (grid.mass.mean() / grid.mass))
    # The noise has the variance of the counts before the reconstruction filter, and passes the same filter: it is then
    # correlated over the same distance as the image.
    counts = activity + _blur(grid, noise * spread, sigma, circumference_mm, heart)
    return np.maximum(counts, 0.0)


def _with_spill(grid: PolarGrid, uptake: Floats, scan: _Scan) -> Floats:
    """The uptake `[n, R, A]` with bowel or liver activity beside the inferior wall."""
    off = angular_distance(grid.angle, scan.spill_angle[:, None, None])
    beside = np.exp(-0.5 * (off / 22.0) ** 2) * np.clip((grid.radius - 0.35) / 0.4, 0.0, 1.0)
    return np.asarray(uptake + scan.spill[:, None, None] * beside)


def _truncated(grid: PolarGrid, field: Floats, scan: _Scan) -> Floats:
    """The field `[n, R, A]` with the outermost rings cut on one side."""
    off = angular_distance(grid.angle, scan.cut_angle[:, None, None])
    rim = np.clip((grid.radius - 0.85) / 0.12, 0.0, 1.0)
    return np.asarray(field * (1.0 - scan.cut_depth[:, None, None] * rim * np.exp(-0.5 * (off / 50.0) ** 2)))


def _resample(grid: PolarGrid, field: Floats, scan: _Scan) -> Floats:
    """The field `[n, R, A]` as the processing samples it: rotated, stretched, with a shifted apex."""
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


def _blur(grid: PolarGrid, field: Floats, sigma_mm: Floats, circumference_mm: Floats, heart: HeartParameters) -> Floats:
    """The field `[n, R, A]` after a Gaussian filter along the wall of standard deviation `sigma_mm` `[n]`."""
    rings, angles = grid.shape
    turn = 2.0 * np.pi * sigma_mm[:, None] / (circumference_mm[:, None] * grid.girth)
    order = np.arange(angles // 2 + 1)
    # The Fourier transform of a Gaussian: exact for the closed ring, at every girth.
    damping = np.exp(-0.5 * (turn[:, :, None] * order) ** 2)
    around = np.fft.irfft(np.fft.rfft(field, axis=2) * damping, n=angles, axis=2)
    spacing = circumference_mm * heart.length_to_circumference / rings
    return _blur_along(around, sigma_mm / spacing)


def _blur_along(field: Floats, sigma: Floats) -> Floats:
    """Filter along the ventricle; `sigma` `[n]` in rings. Beyond the apex a ring continues on its opposite side."""
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
