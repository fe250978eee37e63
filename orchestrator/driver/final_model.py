"""A run's final networks of one input configuration as one model to export, verified byte by byte."""

from dataclasses import asdict, dataclass

import numpy as np
import torch

from mpi_model.errors import IncompleteRunError
from mpi_model.pipeline import Pipeline, PipelineConfig
from mpi_model.vocabulary import TRACERS, Inputs, Tracer
from orchestrator.cells.decision import Decision
from orchestrator.cohort.segments import points_in_pixels
from orchestrator.driver.development_maps import KnownMaps
from orchestrator.driver.open_test import final_networks
from orchestrator.export.folder import refuse_links
from orchestrator.ledger.reading import Run
from orchestrator.statistics.members import Model


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FinalModel:
    """The members of one input configuration with thresholds, calibration and what they were trained on."""

    pipeline: Pipeline
    decisions: tuple[dict[int, Decision], ...]
    """Of each member, by the tracer's number."""
    known: dict[Tracer, KnownMaps]
    """By the tracers that the networks were trained on."""

    @property
    def inputs(self) -> Inputs:
        """The input configuration."""
        return self.pipeline.config.inputs

    @classmethod
    def of(cls, run: Run, inputs: Inputs) -> "FinalModel":
        """Read a run's final networks.

        Raises:
            IncompleteRunError: They are not trained yet.
            RunDirectoryError: A file is not the one that was trained, or a link leads out of the run directory.
            WeightsError: A file is damaged, or not of this run's shape.
        """
        refuse_links(run)
        settings = run.description.settings
        if settings.training.members < 1:
            raise IncompleteRunError(f"{run.paths.name} has no members; restore its experiment.json")
        networks, decisions = zip(*final_networks(run.paths, inputs, settings), strict=True)
        config = PipelineConfig.of(
            {
                "inputs": inputs,
                "size": settings.images.size,
                "members": [asdict(network.architecture) for network in networks],
            }
        )
        known = {TRACERS[number]: KnownMaps.of(run, inputs, TRACERS[number]) for number in decisions[0]}
        pipeline = Pipeline(config, networks).requires_grad_(False)
        pipeline.fill(points=torch.from_numpy(points_in_pixels(config.size)))
        _fill_decisions(pipeline, decisions)
        _fill_reference(pipeline, known)
        return cls(pipeline=pipeline, decisions=decisions, known=known)


def _fill_decisions(pipeline: Pipeline, decisions: tuple[dict[int, Decision], ...]) -> None:
    for number in decisions[0]:
        for member, by_tracer in enumerate(decisions):
            pipeline.slope[member, number] = by_tracer[number].slope
            pipeline.intercept[member, number] = by_tracer[number].intercept
        # By the function that makes one model of the members everywhere else.
        thresholds = np.array([[by_tracer[number].probability_threshold] for by_tracer in decisions])
        pipeline.threshold[number] = float(Model.of(thresholds, thresholds, thresholds).thresholds[0])


def _fill_reference(pipeline: Pipeline, known: dict[Tracer, KnownMaps]) -> None:
    for tracer, maps in known.items():
        number = TRACERS.index(tracer)
        if maps.reference is not None:
            pipeline.centre[number] = torch.from_numpy(maps.reference.centre)
            # 1/infinity is 0: a segment that is the same in all exams adds nothing to a distance.
            pipeline.per_scale[number] = torch.from_numpy(1 / maps.reference.scale)
            pipeline.precision[number] = torch.from_numpy(maps.reference.precision)
            pipeline.limit[number] = maps.limit
