"""Figures of a report, as matplotlib figures and SVG: ROC curves with their spread, AUCs, calibration."""

import io
from collections.abc import Mapping

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mpi_model.errors import StatisticsError
from orchestrator.report.layout import PARTITION_NAMES
from orchestrator.report.models import CrossValidated, Tested
from orchestrator.report.records import EVERYONE, RunTables
from orchestrator.statistics.calibration import SMOOTH_CURVE_PATIENTS, smooth_calibration
from orchestrator.statistics.cross_validation import fold_aucs
from orchestrator.statistics.scores import Flags, Floats, PatientScores

# Okabe & Ito's colours, which most colour-blind readers can distinguish.
_COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_GRID = np.linspace(0, 1, 101)


def figures_of(tables: RunTables, summary: pd.DataFrame) -> dict[str, Figure]:
    """Every figure the tables allow, by title; no figure pools tracers.

    Args:
        tables: Of the run.
        summary: From `summarise`, for the endpoints and the forest.
    """
    figures: dict[str, Figure] = {}
    judged = tables.models[0]
    tables = tables.of(judged)
    endpoints = summary.drop_duplicates("tracer").set_index("tracer")["endpoint"].to_dict()
    for tracer, endpoint in endpoints.items():
        chosen = tables.predictions[tables.predictions["tracer"] == tracer]
        models = {name: _models(chosen[chosen["inputs"] == name]) for name in tables.inputs}
        about = f"{tracer}, {endpoint}"
        if not any(model for pair in models.values() for model in pair):
            continue
        figures[f"ROC curves: {about}"] = _roc_figure(models)
        figures[f"AUC: {about}"] = _forest_figure(summary[summary["tracer"] == tracer], judged)
        if any(_smooth(model) for pair in models.values() for model in pair):
            figures[f"Calibration: {about}"] = _calibration_figure(models)
    return figures


def svg(figure: Figure) -> str:
    """The figure as SVG text, the same bytes every time."""
    buffer = io.StringIO()
    # A fixed salt and no date: matplotlib otherwise draws random element ids, and the bytes would differ.
    with matplotlib.rc_context({"svg.hashsalt": "polarmap"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": "polarmap"})
    return buffer.getvalue()


_Models = tuple[CrossValidated | None, Tested | None]


def _models(predictions: pd.DataFrame) -> _Models:
    parts = {name: predictions[predictions["partition"] == name] for name in ("development", "test")}
    found: list[CrossValidated | Tested | None] = []
    for name, arrange in (("development", CrossValidated.of), ("test", Tested.of)):
        try:
            found.append(arrange(parts[name]) if len(parts[name]) else None)
        except StatisticsError:
            found.append(None)
    development, test = found
    return (
        development if isinstance(development, CrossValidated) else None,
        test if isinstance(test, Tested) else None,
    )


def _roc_figure(models: Mapping[str, _Models]) -> Figure:
    """One panel an input configuration: the mean of the fold curves with ± 1 SD over folds, and the test curve."""
    figure, panels = _panels(len(models))
    for axes, (name, (development, test)), colour in zip(panels, models.items(), _colours(len(models)), strict=True):
        axes.plot([0, 1], [0, 1], color="0.8", linewidth=1)
        title = name if development is None else _fold_curves(axes, development, colour, name)
        if test is not None:
            curve = _roc_curve(test.scores.scores, test.scores.exams.labels)
            axes.step(curve[:, 0], curve[:, 1], where="post", color="0.1", linewidth=1.2, label="test partition")
        axes.set_title(title, fontsize=9)
        axes.set(xlabel="1 − specificity", ylabel="sensitivity", xlim=(0, 1), ylim=(0, 1), aspect="equal")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="lower right", fontsize=7, frameon=False)
    return figure


def _forest_figure(rows: pd.DataFrame, judged: str) -> Figure:
    """The leading AUC of each input configuration, partition and model with its interval and method."""
    chosen = rows[
        (rows["metric"] == "auc") & rows["primary"] & (rows["subgroup"] == EVERYONE) & (rows["state"] == "ok")
    ]
    figure = Figure(figsize=(7, 0.8 + 0.45 * max(len(chosen), 1)), layout="constrained")
    axes = figure.add_subplot()
    names = []
    for place, (_, row) in enumerate(chosen.iterrows()):
        errors = [[row["estimate"] - row["low"]], [row["high"] - row["estimate"]]]
        axes.errorbar(row["estimate"], -place, xerr=errors, fmt="o", color="0.15", capsize=3, markersize=4)
        partition = PARTITION_NAMES[row["partition"]]
        inputs = row["inputs"] if row["model"] == judged else f"{row['inputs']}, {row['model']}"
        names.append(f"{inputs}, {partition}\n{row['patients']} patients, {row['positives']} events, {row['method']}")
    axes.axvline(0.5, color="0.8", linewidth=1)
    axes.set_yticks([-place for place in range(len(names))], names, fontsize=7)
    axes.set(xlabel="AUC", xlim=(0, 1), ylim=(0.5 - max(len(names), 1), 0.5))
    return figure


def _calibration_figure(models: Mapping[str, _Models]) -> Figure:
    """One panel an input configuration: the smooth curve of each repeat, where there are patients enough."""
    figure, panels = _panels(len(models))
    for axes, (name, (development, test)), colour in zip(panels, models.items(), _colours(len(models)), strict=True):
        axes.plot([0, 1], [0, 1], color="0.8", linewidth=1)
        curves = [] if development is None else [
            PatientScores(exams=development.scores.exams, scores=one) for one in development.probabilities
        ]  # fmt: skip
        shown = [_draw_calibration(axes, one, colour, 0.4) for one in curves]
        if test is not None:
            shown.append(
                _draw_calibration(axes, PatientScores(exams=test.scores.exams, scores=test.probabilities), "0.1", 1.0)
            )
        if not any(shown):
            axes.text(
                0.5, 0.5, f"fewer than {SMOOTH_CURVE_PATIENTS} patients:\nno smooth curve", ha="center", fontsize=8
            )
        axes.set(title=name, xlabel="predicted probability", ylabel="observed frequency", aspect="equal")
        axes.set(xlim=(0, 1), ylim=(0, 1))
    return figure


def _smooth(model: CrossValidated | Tested | None) -> bool:
    """Whether a model was judged on patients enough for a smooth curve."""
    return model is not None and model.scores.exams.patient_count >= SMOOTH_CURVE_PATIENTS


def _roc_curve(scores: Floats, labels: Flags) -> Floats:
    """`[points, 2]`, 1 − specificity and sensitivity at every distinct score, from (0, 0) to (1, 1)."""
    order = np.argsort(-scores, kind="stable")
    # One point per distinct score: within a tie the order of exams is arbitrary.
    last_of_tie = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    true = np.cumsum(labels[order])[last_of_tie] / labels.sum()
    false = np.cumsum(~labels[order])[last_of_tie] / (~labels).sum()
    return np.vstack([[0.0, 0.0], np.column_stack([false, true])])


def _fold_curves(axes: Axes, model: CrossValidated, colour: str, name: str) -> str:
    """Draw the mean curve and its band; returns the panel's title."""
    scores, cells = model.scores, model.scores.cells
    curves = []
    for repeat in range(scores.repeat_count):
        for cell in np.unique(cells[repeat]):
            inside = cells[repeat] == cell
            curve = _roc_curve(scores.scores[repeat, inside], scores.exams.labels[inside])
            # Vertical averaging (Fawcett 2006, doi:10.1016/j.patrec.2005.10.010): curves are averaged at equal false
            # positive rates.
            curves.append(np.interp(_GRID, curve[:, 0], curve[:, 1]))
    mean, spread = np.mean(curves, axis=0), np.std(curves, axis=0, ddof=1)
    areas = fold_aucs(scores)
    axes.plot(_GRID, mean, color=colour, label="cross-validation, mean ± SD over folds")
    axes.fill_between(
        _GRID, np.clip(mean - spread, 0, 1), np.clip(mean + spread, 0, 1), color=colour, alpha=0.2, linewidth=0
    )
    exams = scores.exams
    return (
        f"{name}: cross-validated AUC {areas.mean():.2f} ± {areas.std(ddof=1):.2f} (SD)\n"
        f"{exams.patient_count} patients, {exams.labels.sum()} events"
    )


def _draw_calibration(axes: Axes, model: PatientScores, colour: str, width: float) -> bool:
    try:
        curve = smooth_calibration(model)
    except StatisticsError:
        return False
    axes.plot(curve[:, 0], curve[:, 1], color=colour, linewidth=width)
    return True


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(3.4 * max(count, 1), 3.6), layout="constrained")
    return figure, [figure.add_subplot(1, count, place + 1) for place in range(count)]


def _colours(count: int) -> list[str]:
    return [_COLOURS[place % len(_COLOURS)] for place in range(count)]
