"""Opens the test partition: freeze, write the opening down, then let the final networks predict."""

from collections.abc import Sequence

import torch

from mpi_model.determinism import single_threaded
from mpi_model.errors import IncompleteRunError
from mpi_model.network import TracerNetwork
from mpi_model.prediction import predict_scores
from mpi_model.saved_model import load_description, load_network
from mpi_model.vocabulary import TRACERS, Inputs
from orchestrator.cells.cell import predictions_of
from orchestrator.cells.decision import Decision
from orchestrator.cells.records import CellKey, Prediction
from orchestrator.driver.prepare import Prepared, rows_of_test_exams
from orchestrator.ledger.openings import frozen_hash, hash_of_test_exams, record_opening
from orchestrator.ledger.parts import committed_state, has_test_predictions, write_test_predictions
from orchestrator.ledger.paths import RunPaths
from orchestrator.storage.locations import open_storage


def open_test(prepared: Prepared, paths: RunPaths, facts_hash: str, keys: Sequence[CellKey], device: str) -> int:
    """Predict the test exams with the final networks, once the opening is written down.

    Args:
        prepared: The experiment with its cohort.
        paths: The run directory.
        facts_hash: The experiment's hash, which holds its statistics settings.
        keys: All cells; the final ones are judged.
        device: `cpu` or `cuda`.

    Returns:
        How often this test partition has been opened.

    Raises:
        IncompleteRunError: A final cell is not complete; the test stays closed.
    """
    exams = prepared.cohort.exams
    finals = [key for key in keys if key.partition == "test"]
    if any(committed_state(paths, key) != "complete" for key in finals):
        raise IncompleteRunError(
            "the test partition stays closed: not every final network is trained; "
            "see `polarmap report`, then run with --retry-failed"
        )
    frozen = frozen_hash(paths, facts_hash)
    openings = record_opening(
        open_storage(prepared.loaded.test_openings), hash_of_test_exams(exams), prepared.loaded.experiment.name, frozen
    )
    with single_threaded():
        for key in finals:
            if not has_test_predictions(paths, key):
                write_test_predictions(paths, key, _predict(prepared, paths, key, device), facts_hash)
    return openings


def _predict(prepared: Prepared, paths: RunPaths, key: CellKey, device: str) -> list[Prediction]:
    maps, rows = prepared.cohort.maps, rows_of_test_exams(prepared, key.inputs)
    predictions: list[Prediction] = []
    members = prepared.loaded.experiment.training.members
    for member, (network, decisions) in enumerate(final_networks(paths, key.inputs, members)):
        scores = predict_scores(network, maps, rows, device=torch.device(device))
        predictions += predictions_of(scores, rows, maps.tracer[rows], decisions, member)
    return predictions


def final_networks(paths: RunPaths, inputs: Inputs, members: int) -> list[tuple[TracerNetwork, dict[int, Decision]]]:
    """The stored final networks of an inputs with their decisions, one a member.

    Raises:
        IncompleteRunError: They are not trained yet.
    """
    key = CellKey(inputs=inputs, partition="test", repeat=None, fold=None)
    found = []
    for member in range(members):
        weights, document = (paths.model(key, member, suffix) for suffix in ("safetensors", "json"))
        if not (weights.exists() and document.exists()):
            raise IncompleteRunError(f"{paths.name} has no final network for {inputs} inputs yet; finish the run")
        text = document.read_bytes().decode("utf-8")
        found.append((load_network(weights.read_bytes(), text), decisions_of(text)))
    return found


def decisions_of(description: str) -> dict[int, Decision]:
    """The thresholds and calibrations in a saved model's description, by the tracer's number."""
    stored = load_description(description)["decisions"]
    return {TRACERS.index(tracer): Decision(**values) for tracer, values in stored.items()}
