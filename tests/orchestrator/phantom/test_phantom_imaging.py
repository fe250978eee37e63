"""What the simulated camera does: resolution, noise, registration."""

from dataclasses import replace

import numpy as np
import pytest

from orchestrator.phantom.cohort import simulate
from orchestrator.phantom.geometry import PolarGrid, polar_grid
from orchestrator.phantom.imaging import (
    _SCAN_NORMALS,
    _SCAN_UNIFORMS,
    _acquire,
    _blur,
    _draw_scan,
    _resample,
    _Scan,
)
from orchestrator.phantom.parameters import GridParameters, HeartParameters, ImagingParameters, NormalParameters

HEART = HeartParameters()
GRID = polar_grid(GridParameters(rings=40, angles=180), HEART)
SIZE = np.array([180.0])


def still_scan(grid: PolarGrid, *, tracer: int, phase: int = 0, rows: int = 1) -> _Scan:
    """A scan without rotation, shift, cut or spill."""
    z, u = np.zeros((rows, _SCAN_NORMALS)), np.full((rows, _SCAN_UNIFORMS), 0.999)
    return _draw_scan(z, u, np.full(rows, tracer), phase, ImagingParameters(), NormalParameters())


def full_width_at_half_maximum(profile: np.ndarray, step: float) -> float:
    """Width of a peak by linear interpolation at half its height."""
    half = profile.max() / 2.0
    above = np.flatnonzero(profile >= half)
    left, right = above[0], above[-1]
    start = left - (profile[left] - half) / (profile[left] - profile[left - 1])
    end = right + (profile[right] - half) / (profile[right] - profile[right + 1])
    return float((end - start) * step)


@pytest.mark.parametrize("millimetres", [12.0, 14.5])
def test_a_point_spreads_to_the_stated_resolution(millimetres: float) -> None:
    """Protects the units of the resolution: millimetres along the wall, around and along the ventricle."""
    point = np.zeros((1, *GRID.shape))
    point[0, 32, 90] = 1.0
    spread = _blur(GRID, point, np.array([millimetres / 2.3548]), SIZE, HEART)[0]
    around = full_width_at_half_maximum(spread[32], 180.0 * GRID.girth[32] / 180)
    assert around == pytest.approx(millimetres, rel=0.03)
    along = full_width_at_half_maximum(spread[:, 90], 180.0 * HEART.length_to_circumference / 40)
    assert along == pytest.approx(millimetres, rel=0.03)


def test_blurring_is_two_gaussians_that_cross_the_apex() -> None:
    """Protects the blur against a naive one: around by a wrapped Gaussian, along by a cut one, over the apex."""
    rings, angles, sigma = 16, 72, 5.0
    grid = polar_grid(GridParameters(rings=rings, angles=angles), HEART)
    field = np.random.default_rng(2).random((rings, angles))
    around = np.zeros_like(field)
    for ring in range(rings):
        step = 180.0 * grid.girth[ring] / angles
        distance = np.arange(-4 * angles, 4 * angles + 1)
        weight = np.exp(-0.5 * (distance * step / sigma) ** 2)
        for angle in range(angles):
            around[ring, angle] = (weight * field[ring, (angle - distance) % angles]).sum() / weight.sum()
    spacing = 180.0 * HEART.length_to_circumference / rings
    expected = np.zeros_like(field)
    for ring in range(rings):
        offsets = np.arange(-3, 4)
        weight = np.exp(-0.5 * (offsets * spacing / sigma) ** 2)
        for offset, share in zip(offsets, weight / weight.sum(), strict=True):
            at = ring + offset
            expected[ring] += share * (around[min(at, rings - 1)] if at >= 0 else np.roll(around[-1 - at], 36))
    assert _blur(grid, field[None], np.array([sigma]), SIZE, HEART)[0] == pytest.approx(expected, abs=1e-4)


def test_blurring_keeps_a_level_surface() -> None:
    """Protects the normalisation of both kernels."""
    level = np.ones((1, *GRID.shape))
    assert _blur(GRID, level, np.array([5.0]), SIZE, HEART) == pytest.approx(level)


def test_a_rotated_scan_shows_the_wall_further_on() -> None:
    """Protects sign and size of the rotation: 10 degrees counter-clockwise move the pattern by 10 degrees."""
    turn = np.radians(GRID.angle)
    scan = replace(still_scan(GRID, tracer=0), rotation=np.array([10.0]))
    seen = _resample(GRID, (GRID.radius * np.cos(turn))[None], scan)[0]
    assert seen[:-1] == pytest.approx((GRID.radius * np.cos(turn - np.radians(10.0)))[:-1], abs=0.01)


@pytest.mark.parametrize(("tracer", "phase", "low", "high"), [(0, 0, 1.2, 3.0), (1, 0, 2.5, 5.5)])
def test_noise_has_the_size_of_its_tracer(tracer: int, phase: int, low: float, high: float) -> None:
    """Protects the noise of a level wall in percent, Tl-201 about twice as noisy as Tc-99m at stress."""
    grid = polar_grid(GridParameters(), HEART)
    rows = 200
    noise = np.random.default_rng(1).standard_normal((rows, *grid.shape))
    counts = _acquire(
        grid,
        np.ones((rows, *grid.shape)),
        still_scan(grid, tracer=tracer, phase=phase, rows=rows),
        noise,
        tracer=np.full(rows, tracer),
        circumference_mm=np.full(rows, 180.0),
        retained=np.ones(rows),
        heart=HEART,
        imaging=ImagingParameters(),
    )
    middle = counts[:, 1:14]
    percent = 100.0 * middle.std(axis=0) / middle.mean(axis=0)
    assert low < percent.mean() < high
    assert percent.mean(axis=1) == pytest.approx(percent.mean(), rel=0.25), "the same along the ventricle"


def roughness(images: np.ndarray) -> float:
    """Mean bend from pixel to pixel around the middle of the maps, over the mean count, in percent."""
    middle = images[:, 12:52, 12:52].astype(float)
    bend = np.abs(np.diff(middle, n=2, axis=2)).mean(axis=(1, 2))
    return float((100.0 * bend / middle.mean(axis=(1, 2))).mean())


def test_thallium_maps_have_fewer_counts_and_are_noisier() -> None:
    """Protects the difference of the tracers in the written maps of the same patients, although Tl-201 is smoother."""
    technetium, thallium = (
        next(simulate(patients=128, seed=2, tracer_mix={name: 1.0})) for name in ("Tc-99m", "Tl-201")
    )
    counts = [float(np.median(exams.stress.max(axis=(1, 2)))) for exams in (technetium, thallium)]
    assert counts[0] > 3.0 * counts[1]
    assert roughness(thallium.stress) > 1.2 * roughness(technetium.stress)


def test_thallium_blurs_the_edge_of_a_defect_more() -> None:
    """Protects the resolution of the tracers: half a dark ventricle has a wider border with Tl-201."""
    grid = polar_grid(GridParameters(), HEART)
    half = np.where(np.cos(np.radians(grid.angle)) > 0.0, 1.0, 0.4)[None]
    steepest = []
    for tracer in (0, 1):
        counts = _acquire(
            grid, half, still_scan(grid, tracer=tracer), np.zeros_like(half), tracer=np.array([tracer]),
            circumference_mm=SIZE, retained=np.ones(1), heart=HEART, imaging=ImagingParameters(),
        )[0, 10]  # fmt: skip
        steepest.append(np.abs(np.diff(counts / counts.max())).max())
    assert steepest[1] < 0.93 * steepest[0]


def test_spill_heats_the_inferior_wall_and_a_cut_dims_the_rim() -> None:
    """Protects the two accidents of a scan: bowel beside the inferior wall, and a base cut on one side."""
    grid = polar_grid(GridParameters(), HEART)
    level = np.ones((1, *grid.shape))
    plain = still_scan(grid, tracer=0)
    accidents = {
        "spill": replace(plain, spill=np.array([0.3]), spill_angle=np.array([270.0])),
        "cut": replace(plain, cut_angle=np.array([0.0]), cut_depth=np.array([0.35])),
    }
    seen = {
        name: _acquire(
            grid, level, scan, np.zeros_like(level), tracer=np.zeros(1, int),
            circumference_mm=SIZE, retained=np.ones(1), heart=HEART, imaging=ImagingParameters(),
        )[0] / scan.peak_counts[0]
        for name, scan in accidents.items()
    }  # fmt: skip
    inferior, anterior, lateral, septal = 36, 12, 0, 24
    assert seen["spill"][12, inferior] > 1.15 * seen["spill"][12, anterior]
    assert seen["cut"][-1, lateral] < 0.9 * seen["cut"][-1, septal]
    assert seen["cut"][8, lateral] == pytest.approx(seen["cut"][8, septal], rel=0.02)


def test_spill_is_mostly_a_matter_of_technetium_at_rest() -> None:
    """Protects the shares of spill by tracer and phase."""
    rows = 4000
    z, u = np.zeros((rows, _SCAN_NORMALS)), np.random.default_rng(0).random((rows, _SCAN_UNIFORMS))
    shares = {
        (tracer, phase): float(
            np.mean(_draw_scan(z, u, np.full(rows, tracer), phase, ImagingParameters(), NormalParameters()).spill > 0)
        )
        for tracer in (0, 1)
        for phase in (0, 1)
    }
    assert max(shares, key=lambda key: shares[key]) == (0, 1)
    assert shares[0, 1] > 2.0 * shares[0, 0] > 2.0 * shares[1, 1]
