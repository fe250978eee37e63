"""Opens the test partition: freeze, log the opening, then let the final networks predict."""

import torch

from mpi_model.determinism import single_threaded
from mpi_model.errors import IncompleteRunError, RunDirectoryError, WeightsError
from mpi_model.network import TracerNetwork, normalisation_of
from mpi_model.prediction import predict_scores
from mpi_model.saved_model import load_description, load_network
from mpi_model.vocabulary import Inputs
from orchestrator.cells.baseline import SegmentModel
from orchestrator.cells.decision import Decision, decisions_in, predictions_of
from orchestrator.cells.records import CellKey, Prediction
from orchestrator.driver.prepare import Prepared, rows_of_test_exams
from orchestrator.driver.resume import ResolvedRun
from orchestrator.experiment.settings import Experiment
from orchestrator.ledger.integrity import matches
from orchestrator.ledger.openings import frozen_hash, hash_of_test_exams, record_opening
from orchestrator.ledger.parts import Marker, marker_in
from orchestrator.ledger.paths import CellPart, RunPaths
from orchestrator.ledger.state import RunState
from orchestrator.storage.base import Blob
from orchestrator.storage.locations import open_storage


def open_test(resolved: ResolvedRun, state: RunState) -> None:
    """Predict the test exams with the final networks and their baselines, once the opening is logged.

    Args:
        resolved: The run; its final cells are judged.
        state: What its ledger holds.

    Raises:
        IncompleteRunError: A final cell is not complete; the test stays closed.
    """
    prepared, paths = resolved.prepared, resolved.paths
    finals = [key for key in resolved.keys if key.partition == "test"]
    if any(state.state_of(key) != "complete" for key in finals):
        raise IncompleteRunError(
            "the test partition stays closed: not every final network is trained; "
            "see `polarmap report`, then run with --retry-failed"
        )
    # Before the first prediction: what is judged cannot change between opening and result.
    frozen = frozen_hash(paths, resolved.hash)
    # Written down before anything is predicted: an opening that is not logged has not happened.
    record_opening(
        open_storage(prepared.loaded.test_openings),
        hash_of_test_exams(prepared.cohort.exams),
        prepared.loaded.experiment.name,
        frozen,
    )
    # One thread: sums over threads change last digits, and the same models must give the same predictions.
    with single_threaded():
        for key in finals:
            # After an interruption only the missing predictions are made; the opening is not counted twice.
            if state.tests.get(key.name) is None:
                state.commit_test(key, _predict(prepared, paths, key, resolved.device), resolved.hash)


def _predict(prepared: Prepared, paths: RunPaths, key: CellKey, device: str) -> list[Prediction]:
    maps, rows = prepared.cohort.maps, rows_of_test_exams(prepared, key.inputs)
    predictions: list[Prediction] = []
    experiment = prepared.loaded.experiment
    for member, (network, decisions) in enumerate(final_networks(paths, key.inputs, experiment)):
        scores = predict_scores(network, maps, rows, device=torch.device(device))
        predictions += predictions_of(scores, rows, maps.tracer[rows], decisions, member)
    if experiment.statistics.baseline != "none":
        predictions += SegmentModel.from_json(paths.baseline(key).read_bytes().decode("utf-8")).predict(maps, rows)
    return predictions


def final_networks(
    paths: RunPaths, inputs: Inputs, settings: Experiment
) -> list[tuple[TracerNetwork, dict[int, Decision]]]:
    """The stored final networks of an input configuration with their decisions, one a member.

    Raises:
        IncompleteRunError: They are not trained yet.
        RunDirectoryError: A file is not what the ledger's marker names: it was changed after training.
        WeightsError: A file is what a marker names, and still no network of this experiment.
    """
    key = CellKey(inputs=inputs, partition="test", repeat=None, fold=None)
    commit = paths.in_cell(key.name, CellPart.RESULTS.marker)
    marker = marker_in(commit.read_bytes()) if commit.exists() else None
    if not commit.exists() or (marker is not None and marker.state != "complete"):
        raise IncompleteRunError(f"{paths.name} has no final network for {inputs} inputs yet; finish the run")
    found = []
    for member in range(settings.training.members):
        weights, document = (_verified(paths.model(key, member, suffix), marker) for suffix in ("safetensors", "json"))
        text = document.decode("utf-8", errors="replace")
        network = load_network(weights, text)
        said = load_description(text)
        due = {"inputs": inputs, "member": member, "image_size": str(settings.images.size)}
        if any(said.get(name) != value for name, value in due.items()) or not _is_of(settings, inputs, network):
            raise WeightsError(f"models: member {member} for {inputs} inputs is not of this experiment; restore it")
        found.append((network, decisions_in(said.get("decisions"))))
    if len({frozenset(decisions) for _, decisions in found}) > 1:
        raise WeightsError(f"models: the members for {inputs} inputs know different tracers; restore them")
    return found


def _is_of(settings: Experiment, inputs: Inputs, network: TracerNetwork) -> bool:
    """Whether a network has the shape that the experiment asked for; equal weights fit several, with other answers."""
    shape, asked = network.architecture, settings.network
    return (shape.inputs, shape.backbone, shape.fusion, shape.heads, shape.normalisation) == (
        inputs,
        asked.backbone,
        asked.fusion,
        asked.heads,
        normalisation_of(asked),
    )


def _verified(blob: Blob, marker: Marker | None) -> bytes:
    """A model's file, if it is the one that was trained."""
    # A network is used only if it is byte for byte the one that the marker names.
    if marker is not None and blob.exists() and matches(marker, blob.name, content := blob.read_bytes()):
        return content
    raise RunDirectoryError(
        f"{blob.name} is not what the ledger says was trained (missing, changed, or its marker is damaged); "
        "restore it, or `polarmap run` trains it again"
    )
