"""A finished run of three inputs and two tracers, made without any network."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from orchestrator.experiment.settings import StatisticsSettings
from orchestrator.report.records import RunTables
from orchestrator.report.summary import summarise

STRENGTH = {"stress": 1.4, "rest": 0.9, "dual": 1.6}
FOLDS, REPEATS, DEVELOPMENT, TEST = 4, 3, 160, 60


def _exams() -> pd.DataFrame:
    number = np.arange(DEVELOPMENT + TEST)
    exams = pd.DataFrame({"manifest_row": number + 1, "patient_id": [f"patient-{one:03d}" for one in number]})
    exams["tracer"] = np.where(number % 2 == 0, "Tc-99m", "Tl-201")
    exams["exam_id"] = exams["patient_id"] + "/" + exams["tracer"]
    exams["label"] = ((number // 2) % 5 < 2).astype(int)
    exams["partition"] = np.where(number < DEVELOPMENT, "development", "test")
    exams["sex"] = np.where((number // 2) % 3 == 0, "F", "M")
    return exams


def _folds(exams: pd.DataFrame, generator: np.random.Generator) -> pd.DataFrame:
    """Folds dealt within tracer and label, one row a repeat and patient."""
    drawn = []
    for repeat in range(REPEATS):
        for _, group in exams[exams["partition"] == "development"].groupby(["tracer", "label"]):
            shuffled = generator.permutation(group["patient_id"].to_numpy())
            drawn.append(
                pd.DataFrame({"repeat": repeat, "patient_id": shuffled, "fold": np.arange(len(shuffled)) % FOLDS})
            )
    return pd.concat(drawn, ignore_index=True)


def _predictions(exams: pd.DataFrame, folds: pd.DataFrame, generator: np.random.Generator) -> pd.DataFrame:
    patient_part = pd.Series(generator.normal(size=len(exams)), index=exams["exam_id"])
    frames = []
    for inputs, strength in STRENGTH.items():
        held_out = exams[exams["partition"] == "development"].merge(folds, on="patient_id")
        final = exams[exams["partition"] == "test"].assign(repeat=pd.NA, fold=pd.NA)
        rows = pd.concat(
            [held_out.astype({"repeat": "Int64", "fold": "Int64"}), final.astype({"repeat": "Int64", "fold": "Int64"})]
        )
        noise = 0.8 * patient_part[rows["exam_id"]].to_numpy() + 0.6 * generator.normal(size=len(rows))
        score = strength * (rows["label"] - 0.5) + noise
        frames.append(
            rows.assign(inputs=inputs, model="network", member=0, score=score, probability=expit(score), threshold=0.5)
        )
    columns = [
        "inputs",
        "partition",
        "repeat",
        "fold",
        "model",
        "member",
        "patient_id",
        "exam_id",
        "tracer",
        "label",
        "score",
    ]
    return pd.concat(frames, ignore_index=True)[[*columns, "probability", "threshold"]]


@pytest.fixture(scope="session")
def finished_run() -> RunTables:
    """Four folds, three repeats, 80 development and 30 test patients a tracer; all cells complete."""
    generator = np.random.default_rng(20)
    exams = _exams()
    folds = _folds(exams, generator)
    cells = folds[["repeat", "fold"]].drop_duplicates().merge(pd.Series(list(STRENGTH), name="inputs"), how="cross")
    cells = cells.assign(partition="development", state="complete", reason="", candidate=4, steps=120)
    cells = cells.assign(hp_freeze_depth=cells["fold"], hp_head_learning_rate=1e-3 * (1 + cells["repeat"]))
    return RunTables(
        predictions=_predictions(exams, folds, generator), exams=exams, folds=folds, cells=cells, inputs=tuple(STRENGTH)
    )


@pytest.fixture(scope="session")
def closed_run(finished_run: RunTables) -> RunTables:
    """The same run before its test partition was opened."""
    held_out = finished_run.predictions["partition"] == "development"
    return replace(finished_run, predictions=finished_run.predictions[held_out].reset_index(drop=True))


@pytest.fixture(scope="session")
def summary(finished_run: RunTables) -> pd.DataFrame:
    """The finished run's summary under the default settings."""
    return summarise(finished_run, StatisticsSettings())


@pytest.fixture(scope="session")
def attributions() -> pd.DataFrame:
    """As of an explained run: dual input of one tracer, shares and net attributions of the segments with intervals."""
    generator = np.random.default_rng(7)
    about = {"tracer": "Tc-99m", "inputs": "dual", "partition": "development", "outcome": None, "level": 0.95}
    rows: list[dict[str, object]] = []
    for network in ("trained", "randomised"):
        for label in (0, 1):
            group = {
                **about,
                "network": network,
                "label": label,
                "patients": 24 + 8 * label,
                "exams": 40,
                "state": "ok",
            }
            names = [(metric, phase) for metric in ("share", "attribution") for phase in ("stress", "rest")]
            places: list[tuple[str, str | None, str]] = [(*name, str(one)) for name in names for one in range(1, 18)]
            if network == "randomised":
                places.append(("rank_correlation", None, "all"))
            for metric, phase, region in places:
                value = float(generator.uniform(0.01, 0.08))
                numbers = {"estimate": value, "low": 0.8 * value, "high": 1.3 * value, "reason": ""}
                rows.append({**group, "metric": metric, "phase": phase, "region": region, **numbers})
    return pd.DataFrame(rows)
