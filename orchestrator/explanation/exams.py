"""Attributions of exams, summed over segments: of the model, of random weights, and of no network at all."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from mpi_model.exams import input_tensor, tracer_tensor
from mpi_model.freezing import freeze
from mpi_model.maps import Maps
from mpi_model.network import TracerNetwork
from mpi_model.vocabulary import PHASES_OF, Phase
from orchestrator.cells.records import Attribution, ExplainedNetwork
from orchestrator.cohort.segments import POINTS, points_in_pixels
from orchestrator.explanation.integrated_gradients import PixelAttributions, integrated_gradients
from orchestrator.explanation.reference_maps import ReferenceMaps
from orchestrator.hashing import derive_seed
from orchestrator.statistics.members import score_of_members

_Floats = NDArray[np.float64]


def explain_exams(
    networks: Sequence[TracerNetwork],
    maps: Maps,
    rows: NDArray[np.int64],
    references: ReferenceMaps,
    *,
    seed: int | None,
    device: torch.device,
) -> list[Attribution]:
    """Where the score of each exam comes from.

    Args:
        networks: The members of the model.
        maps: The exams.
        rows: `[n]`, row numbers into `maps`: exams that the networks have not learned from.
        references: What each exam is compared with.
        seed: Of random weights, for the sanity check; None explains the model alone.
        device: Where to compute.

    Returns:
        For each exam and phase the model's attribution and, with a seed, those of the sanity checks.

    Raises:
        PolarmapError: See `integrated_gradients`.
    """
    inputs = networks[0].architecture.inputs
    kinds: list[tuple[ExplainedNetwork, list[TracerNetwork]]] = [("trained", [_still(one, device) for one in networks])]
    if seed is not None:
        drawn = [_randomised(one, derive_seed(seed, "randomised", number)) for number, one in enumerate(networks)]
        kinds.append(("randomised", [_still(one, device) for one in drawn]))
    images, tracers = input_tensor(maps, rows, inputs).to(device), tracer_tensor(maps, rows).to(device)
    found: list[Attribution] = []
    for place, row in enumerate(rows.tolist()):
        image, reference = images[place], references[int(maps.tracer[row])].to(device)
        for kind, members in kinds:
            parts = [integrated_gradients(one, image, reference, tracers[place : place + 1]) for one in members]
            found += _of_model(kind, row, PHASES_OF[inputs], parts)
        if seed is not None:
            # Darker than the reference counts as evidence for a defect: what a network that adds up pixels would say.
            lost = (reference - image).cpu().numpy().astype(np.float64)
            found += _summed("none", row, PHASES_OF[inputs], lost, residual=0.0, bound=0.0)
    return found


def _randomised(network: TracerNetwork, seed: int) -> TracerNetwork:
    """A network of the same architecture with weights drawn at random, none of them learned.

    References:
        Adebayo et al. 2018, arXiv:1810.03292: the model parameter randomisation test.
    """
    return TracerNetwork(network.architecture, torch.Generator().manual_seed(seed))


def _still(network: TracerNetwork, device: torch.device) -> TracerNetwork:
    """In evaluation mode and without gradients of its weights, which nobody asks for here."""
    # Frozen stages keep no graph: through them no gradient reaches the pixels.
    freeze(network, 0)
    return network.to(device).eval().requires_grad_(False)


def _of_model(
    kind: ExplainedNetwork, row: int, phases: Sequence[Phase], members: Sequence[PixelAttributions]
) -> Iterator[Attribution]:
    """The model's attribution of one exam, from its members'."""
    pixels = score_of_members(np.stack([one.pixels for one in members]))
    # The largest residual, not their mean: members' errors may cancel.
    worst = max(members, key=lambda one: abs(one.residual) - one.bound)
    yield from _summed(kind, row, phases, pixels, residual=worst.residual, bound=worst.bound)


def _summed(
    kind: ExplainedNetwork, row: int, phases: Sequence[Phase], pixels: _Floats, *, residual: float, bound: float
) -> Iterator[Attribution]:
    """Pixels `[P, C, H, W]` summed over colours and segments, a record a phase."""
    flat = pixels.sum(axis=1).reshape(len(phases), -1)
    # Not by `@`, whose library may split a sum between threads.
    segments = np.einsum("pn,sn->ps", flat, points_in_pixels(pixels.shape[-1]) / POINTS)
    for place, phase in enumerate(phases):
        yield Attribution(
            network=kind,
            row=row,
            phase=phase,
            segments=tuple(segments[place].tolist()),
            outside=float(flat[place].sum() - segments[place].sum()),
            residual=residual,
            bound=bound,
        )
