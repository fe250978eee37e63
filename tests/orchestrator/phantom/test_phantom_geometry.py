"""The polar map's segments, its sampling grid and its painting."""

import numpy as np
import pytest

from orchestrator.phantom.geometry import paint, pixel_positions, polar_grid, segment_at
from orchestrator.phantom.parameters import GridParameters, HeartParameters

GRID = GridParameters(rings=24, angles=72)


def naive_segment(x: float, y: float) -> int:
    """The AHA segment at a point of the unit disc, walked through by hand."""
    radius = (x * x + y * y) ** 0.5
    angle = np.degrees(np.arctan2(y, x)) % 360
    if radius > 1:
        return 0
    if radius <= 0.2:
        return 17
    if radius <= 0.2 + 0.8 / 3:
        if 45 <= angle < 135:
            return 13
        if 135 <= angle < 225:
            return 14
        return 15 if 225 <= angle < 315 else 16
    starts = {1: 60, 2: 120, 3: 180, 4: 240, 5: 300, 6: 0}
    segment = next(number for number, start in starts.items() if start <= angle < start + 60)
    return segment + 6 if radius <= 0.2 + 1.6 / 3 else segment


def test_segments_match_a_walk_through_the_aha_model() -> None:
    """Protects the numbering, the starting angles and the radii of the 17 segments."""
    points = np.random.default_rng(0).uniform(-1, 1, (4000, 2))
    radius, angle = np.hypot(*points.T), np.degrees(np.arctan2(points[:, 1], points[:, 0]))
    assert segment_at(radius, angle).tolist() == [naive_segment(x, y) for x, y in points]


@pytest.mark.parametrize(
    ("row", "column", "segment"),
    [
        (3, 32, 1),
        (20, 5, 2),
        (44, 5, 3),
        (60, 32, 4),
        (44, 58, 5),
        (20, 58, 6),
        (32, 32, 17),
        (20, 32, 13),
        (32, 44, 16),
    ],
)
def test_pixels_look_at_the_heart_from_the_apex(row: int, column: int, segment: int) -> None:
    """Protects the orientation of the picture: anterior up, septum left, inferior down, lateral right."""
    radius, angle = pixel_positions(64)
    assert segment_at(radius, angle)[row, column] == segment


def test_thirds_of_the_ventricle_hold_the_published_mass() -> None:
    """Protects the weights that turn area of the disc into myocardium: 30, 35 and 35 % from apex to base."""
    grid = polar_grid(GridParameters(rings=60, angles=24), HeartParameters())
    thirds = [
        grid.mass[(grid.radius >= low) & (grid.radius < high)].sum()
        for low, high in ((0, 7 / 15), (7 / 15, 11 / 15), (11 / 15, 1))
    ]
    assert thirds == pytest.approx([0.30, 0.35, 0.35], abs=0.02)


def test_segment_means_of_a_field_of_segment_numbers_are_those_numbers() -> None:
    """Protects the rows of the weight matrix against being shifted, swapped or not normalised."""
    parameters = GridParameters(rings=30, angles=72)
    grid = polar_grid(parameters, HeartParameters())
    field = segment_at(grid.radius, grid.angle + 1e-6).astype(float)
    # Cells that a border cuts belong to two segments, hence the tolerance.
    assert grid.segment_means(field[None])[0] == pytest.approx(np.arange(1, 18), abs=0.7)


@pytest.mark.parametrize("size", [32, 64, 129])
def test_painting_a_plane_gives_the_plane(size: int) -> None:
    """Protects the interpolation, across the apex too: a field equal to x + 2y paints to x + 2y."""
    grid = polar_grid(GRID, HeartParameters())
    turn = np.radians(grid.angle)
    field = grid.radius * (np.cos(turn) + 2.0 * np.sin(turn))
    image = paint(field[None], size)[0]
    radius, angle = pixel_positions(size)
    plane = radius * (np.cos(np.radians(angle)) + 2.0 * np.sin(np.radians(angle)))
    inside = radius < 1.0 - 1.0 / GRID.rings
    assert image[inside] == pytest.approx(plane[inside], abs=0.01)
    assert not image[radius > 1.0].any()
