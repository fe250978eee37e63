"""The probabilities of a model, as it gives them and as they are judged, for calibration and net benefit.

A class-balanced loss estimates the odds at a prevalence of one half. So raw probabilities are too high wherever fewer
than half of the exams have the event. Calibration in the large is off by design, not by mistake.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from orchestrator.report.models import CrossValidated, JudgedModel
from orchestrator.statistics.sample_size import shifted_to_prevalence
from orchestrator.statistics.scores import Exams, Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Probabilities:
    """Two sets of probabilities for the same exams."""

    raw: Floats
    """`[R, N]` or `[N]`: expit of the scores, class-balanced."""
    raw_name: str
    judged: Floats
    """Of the same shape: recalibrated by Platt on inner scores where the experiment asks for it, otherwise moved to the
    prevalence of the training exams."""
    judged_name: str
    exams: Exams
    inflation: float
    """Factor on the variance over patients of a mean over exams; 1 for a test."""


def probabilities_of(model: JudgedModel, calibrated: bool, development: CrossValidated | None) -> Probabilities | None:
    """The probabilities of a model; None where there are none, or the prevalence of the training exams is not known.

    Args:
        model: The predictions.
        calibrated: Whether `probability` is recalibrated.
        development: The cross-validation of the same inputs and tracer, whose exams the final network was trained on.
    """
    if np.isnan(model.probabilities).any():
        return None
    raw: Floats = expit(model.scores.scores)
    judged, name = model.probabilities, "recalibrated (Platt)"
    if not calibrated:
        training = _training_prevalence(model, development)
        if training is None:
            return None
        judged, name = shifted_to_prevalence(raw, training), "at the training prevalence"
    factor = model.cross_validation.factor if isinstance(model, CrossValidated) else 1.0
    return Probabilities(
        raw=raw,
        raw_name="raw, class-balanced",
        judged=judged,
        judged_name=name,
        exams=model.scores.exams,
        # A mean over exams needs half of the inflation that an AUC needs.
        inflation=1 + (factor - 1) / 2,
    )


def _training_prevalence(model: JudgedModel, development: CrossValidated | None) -> Floats | float | None:
    if isinstance(model, CrossValidated):
        return prevalence_of_training(model)
    return None if development is None else float(development.scores.exams.labels.mean())


def prevalence_of_training(model: CrossValidated) -> Floats:
    """`[R, N]`, the share of positive exams among those that an exam's network was trained on."""
    labels, folds = model.scores.exams.labels, model.scores.folds
    shares = np.empty(folds.shape)
    for repeat, row in enumerate(folds):
        # The prevalence differs from fold to fold; the networks of a fold were trained on the other folds only.
        for fold in np.unique(row):
            shares[repeat, row == fold] = labels[row != fold].mean()
    return shares
