"""Coronary disease: territories whose borders vary between patients, and perfusion defects inside them."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.phantom.geometry import PolarGrid, angular_distance
from orchestrator.phantom.parameters import DiseaseParameters
from orchestrator.phantom.streams import Integers, Stage, Streams, pick, take_rows
from orchestrator.statistics.scores import Floats

_VESSELS: Final = ("LAD", "LCX", "RCA")
_SLOTS: Final = 3  # at most one defect for each vessel


@dataclass(frozen=True, slots=True, kw_only=True)
class Disease:
    """Borders and defects of n patients; slots 0 to 2 are the vessels in the order of their obstruction."""

    borders: Floats
    """`[n, 3]`, deviation of the LAD/LCX, LAD/RCA and RCA/LCX borders from their means, degrees."""
    present: NDArray[np.bool_]
    """`[n, 3]`, whether the slot has a defect."""
    vessel: Integers
    """`[n, 3]`, 0 to 2 for LAD, LCX and RCA."""
    centre: Floats
    """`[n, 3]`, centre of the defect across its territory, 0 to 1, counter-clockwise."""
    width: Floats
    """`[n, 3]`, width relative to the territory."""
    inner: Floats
    """`[n, 3]`, radius of the apical end; negative if the defect includes the apex."""
    outer: Floats
    """`[n, 3]`, radius of the basal end."""
    depth: Floats
    """`[n, 3]`, loss of uptake in the centre at stress, 0 to 1."""
    fixed_share: Floats
    """`[n, 3]`, part of the depth that remains at rest: 0 reversible, 1 fixed, between them mixed."""
    washout_per_hour: Floats
    """`[n]`, washout rate of Tl-201 in normal minus that in ischaemic myocardium."""


def draw_disease(streams: Streams, sex: Integers, age: Floats, parameters: DiseaseParameters) -> Disease:
    """Draw the disease of the n patients of the streams; `sex` `[n]` indexes `SEXES`, `age` `[n]` is in years."""
    z, u = streams.draw(Stage.DISEASE, normals=4, uniforms=2 + 10 * _SLOTS)
    # Age shifts the log odds linearly, as in a logistic regression.
    prevalence = pick(parameters.prevalence, sex)
    odds = prevalence / (1.0 - prevalence) * np.exp(parameters.log_odds_per_year * (age - 62.0))
    diseased = u[:, 0] < odds / (1.0 + odds)
    count = 1 + np.searchsorted(np.cumsum(parameters.vessels)[:-1], u[:, 1], side="right")
    slots = u[:, 2:].reshape(len(u), 10, _SLOTS)
    vessel = _obstructed(slots[:, 0], parameters)
    width, centre, inner, outer = _lesions(vessel, slots[:, 1:6], parameters)
    fixed = _fixed_shares(slots[:, 7:], parameters)
    normal, ischaemic = (np.log(2.0) / hours for hours in parameters.washout_half_life_hours)
    deviation = np.array([parameters.lad_lcx_border_sd, parameters.lad_rca_border_sd, parameters.rca_lcx_border_sd])
    return Disease(
        borders=deviation * np.clip(z[:, :3], -2.0, 2.0),
        present=diseased[:, None] & (np.arange(_SLOTS) < count[:, None]),
        vessel=vessel,
        centre=centre,
        width=width,
        inner=inner,
        outer=outer,
        depth=np.minimum(_depths(slots[:, 6], parameters) + parameters.scar_depth * fixed, parameters.most_depth),
        fixed_share=fixed,
        washout_per_hour=np.maximum((normal - ischaemic) * (1.0 + parameters.washout_cv * z[:, 3]), 0.0),
    )


def _obstructed(u: Floats, parameters: DiseaseParameters) -> Integers:
    """Vessels in the order of their obstruction: weighted sampling without replacement from uniform numbers `[n, 3]`.

    The smallest exponential variable with rate w comes first (doi:10.1016/j.ipl.2005.11.003).
    """
    times = -np.log1p(-u) / np.asarray(parameters.vessel_weights)
    return np.argsort(times, axis=1, kind="stable")


def _lesions(vessel: Integers, u: Floats, parameters: DiseaseParameters) -> tuple[Floats, Floats, Floats, Floats]:
    """Width, centre, inner and outer radius, `[n, 3]` each, from five uniform numbers a slot, `[n, 5, 3]`."""
    # A proximal lesion takes most of the territory. A distal one, of the LAD only, takes the apex.
    proximal = u[:, 0] < parameters.proximal_share
    anterior = vessel == 0
    distal = anterior & ~proximal & (u[:, 3] < parameters.distal_share)
    narrow, wide = parameters.branch_width
    width = np.where(proximal, 0.8 + 0.2 * u[:, 1], narrow + (wide - narrow) * u[:, 1])
    inner = np.where(proximal, 0.15 + 0.2 * u[:, 3], 0.2 + 0.35 * u[:, 3])
    inner = np.where((proximal & anterior) | distal, -1.0, inner)
    outer = np.where(proximal, 0.85 + 0.35 * u[:, 4], 0.65 + 0.5 * u[:, 4])
    return width, u[:, 2], inner, np.where(distal, 0.3 + 0.4 * u[:, 4], outer)


def _depths(u: Floats, parameters: DiseaseParameters) -> Floats:
    """Depths from uniform numbers of any shape, by the inverse of Kumaraswamy's distribution 1 - (1 - x^a)^b.

    Source: doi:10.1016/0022-1694(80)90036-0.
    """
    a, b, scale = parameters.depth
    return parameters.least_depth + scale * (1.0 - (1.0 - u) ** (1.0 / b)) ** (1.0 / a)


def _fixed_shares(u: Floats, parameters: DiseaseParameters) -> Floats:
    """Fixed part of every defect, `[n, 3]`, from uniform numbers `[n, 3, 3]`: kind, agreement, mixture."""
    agrees = u[:, 1] < parameters.kind_agreement
    kind = np.where(agrees, u[:, 0, :1], u[:, 0])
    reversible, mixed, _ = np.cumsum(parameters.kinds)
    low, high = parameters.mixed_fixed_share
    return np.select([kind < reversible, kind < mixed], [0.0, low + (high - low) * u[:, 2]], 1.0)


def _territory_borders(disease: Disease, radius: Floats, parameters: DiseaseParameters) -> tuple[Floats, Floats]:
    """Start and width of each slot's territory at radii `[R]`, `[n, 3, R]` each, degrees."""
    means = np.array([parameters.lad_lcx_border, parameters.lad_rca_border, parameters.rca_lcx_border])
    at_radius = means[:, :1] * (1.0 - radius) + means[:, 1:] * radius
    border = at_radius + disease.borders[:, :, None]
    # LAD from the LCX border to the RCA border, LCX from the RCA border over 0° to the LAD border, and so on.
    start = np.stack([border[:, 0], border[:, 2], border[:, 1]], axis=1)
    end = np.stack([border[:, 1], border[:, 0] + 360.0, border[:, 2]], axis=1)
    row = np.arange(len(border))[:, None]
    return start[row, disease.vessel], np.maximum(end - start, 0.0)[row, disease.vessel]


def defect_shapes(
    grid: PolarGrid, disease: Disease, circumference_mm: Floats, length_mm: Floats, parameters: DiseaseParameters
) -> Floats:
    """The shape of each defect, `[n, 3, R, A]`: 0 outside, 1 inside, with soft edges.

    `circumference_mm` and `length_mm` are `[n]`, the size of the ventricle.
    """
    radius = grid.radius[:, 0]
    start, extent = _territory_borders(disease, radius, parameters)
    width, centre = disease.width[:, :, None], disease.centre[:, :, None]
    middle = start + extent * (width / 2.0 + centre * (1.0 - width))
    off = np.abs(angular_distance(grid.angle, middle[..., None])) - (extent * width / 2.0)[..., None]
    # Distances in millimetres, so that the border zone has the same width at the apex and at the base.
    mm_per_degree = circumference_mm[:, None] * grid.girth / 360.0
    across = _inside(-off * mm_per_degree[:, None, :, None], parameters.edge_mm)
    # Toward the apex a wedge becomes infinitely thin; a defect that includes the apex is a full disc there.
    whole_apex = (disease.inner < 0.0)[:, :, None] * np.clip(1.0 - radius / 0.25, 0.0, 1.0)
    across = across + (1.0 - across) * whole_apex[..., None]
    length = length_mm[:, None, None]
    along = _inside((radius - disease.inner[:, :, None]) * length, parameters.edge_mm)
    along *= _inside((disease.outer[:, :, None] - radius) * length, parameters.edge_mm)
    return np.asarray(across * along[..., None])


def _inside(distance_mm: Floats, edge_mm: float) -> Floats:
    """A soft step: 0 far outside, 0.5 on the border, 1 far inside."""
    return np.asarray(0.5 * (1.0 + np.tanh(distance_mm / edge_mm)))


def deficits(shapes: Floats, disease: Disease, tracer: Integers, hours: Floats) -> tuple[Floats, Floats]:
    """The lost part of the uptake at stress and at rest.

    The remaining uptakes of overlapping defects are multiplied. At rest Tc-99m shows the fixed part. Tl-201 shows the
    redistribution scan: a region with the relative uptake u then has u·exp(Δk·hours), at most 1, because ischaemic
    myocardium loses the tracer more slowly by Δk.

    Args:
        shapes: `[n, 3, R, A]`, from `defect_shapes`.
        disease: The disease of n exams.
        tracer: `[n]`, index into `TRACERS`.
        hours: `[n]`, delay of the redistribution scan.

    Returns:
        `[n, R, A]` each, 0 to 1.
    """
    depth = np.where(disease.present, disease.depth, 0.0)
    loss = shapes * depth[..., None, None]
    stress = np.prod(1.0 - loss, axis=1)
    fixed = np.prod(1.0 - loss * disease.fixed_share[..., None, None], axis=1)
    fill_in = np.exp(np.where(tracer == 1, disease.washout_per_hour * hours, 0.0))[:, None, None]
    redistributed = fixed * np.minimum(stress / fixed * fill_in, 1.0)
    rest = np.where((tracer == 1)[:, None, None], redistributed, fixed)
    return 1.0 - stress, 1.0 - rest


def describe_defects(disease: Disease, row: int, parameters: DiseaseParameters) -> list[dict[str, str | float]]:
    """The defects of one row as JSON values, for the table of the truth.

    Centre and width are in degrees at radius 0.6, the middle of the ventricle. An inner radius of -1 means that the
    defect includes the apex.
    """
    one = take_rows(disease, np.array([row]))
    # The borders depend on the radius; the defect is described in the middle of the ventricle.
    start, extent = (values[0, :, 0] for values in _territory_borders(one, np.array([0.6]), parameters))
    defects: list[dict[str, str | float]] = []
    for slot in np.flatnonzero(one.present[0]):
        width, fixed = one.width[0, slot], float(one.fixed_share[0, slot])
        centre = start[slot] + extent[slot] * (width / 2.0 + one.centre[0, slot] * (1.0 - width))
        defects.append(
            {
                "vessel": _VESSELS[one.vessel[0, slot]],
                "kind": "reversible" if fixed == 0.0 else "fixed" if fixed == 1.0 else "mixed",
                "depth": round(float(one.depth[0, slot]), 3),
                "fixed_share": round(fixed, 3),
                "centre_degrees": round(float(np.mod(centre, 360.0)), 1),
                "width_degrees": round(float(extent[slot] * width), 1),
                "inner_radius": round(float(one.inner[0, slot]), 3),
                "outer_radius": round(float(min(one.outer[0, slot], 1.0)), 3),
            }
        )
    return defects
