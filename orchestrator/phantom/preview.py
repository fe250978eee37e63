"""Draws exams of a synthetic cohort as bull's-eyes with segment borders, territories and the truth."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from mpi_model.errors import ExperimentError
from mpi_model.vocabulary import PHASES, TRACERS
from orchestrator.output_files import make_parents, new_named_file
from orchestrator.phantom.cohort import Exams
from orchestrator.phantom.colours import coloured
from orchestrator.phantom.disease import describe_defects
from orchestrator.phantom.geometry import RING_RADII
from orchestrator.phantom.parameters import SEXES, DiseaseParameters, PhantomParameters
from orchestrator.statistics.scores import Floats

# Degrees, about the middle of each territory.
_TERRITORY_NAMES: Final = (("LAD", 118.0), ("LCX", 8.0), ("RCA", 262.0))
_INCHES: Final = 2.15
_CAPTION_INCHES: Final = 0.62


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """One exam of the figure."""

    title: str
    truth: str
    pictures: tuple[NDArray[np.uint8] | None, ...]
    kind: tuple[str, ...]


def preview(cohort: Path | Exams, file: Path, *, exams: int = 8) -> Path:
    """Draw stress and rest maps of a few exams with their truth.

    Args:
        cohort: A folder of `write_cohort`, or one simulated chunk.
        file: The PNG file to write; an existing file is not overwritten.
        exams: The maximum number of exams, chosen to differ in tracer, sex and disease.

    Returns:
        `file`.

    Raises:
        ExperimentError: The folder holds no synthetic cohort, or the file cannot be written.
    """
    if exams < 1:
        raise ExperimentError(f"exams must be 1 or more, not {exams}")
    if file.exists():
        raise ExperimentError(f"the preview must be a new file, but {file} exists; name another")
    shown = _from_chunk(cohort, exams) if isinstance(cohort, Exams) else _from_folder(cohort, exams)
    stream = io.BytesIO()
    _draw(shown).savefig(stream, format="png", dpi=110)
    make_parents(file)
    new_named_file(file, stream.getvalue())
    return file


def _from_chunk(chunk: Exams, exams: int) -> list[_Shown]:
    disease = PhantomParameters().disease
    kinds = [_kind(chunk, row, disease) for row in range(len(chunk))]
    return [_chunk_row(chunk, row, kinds[row], disease) for row in _varied(kinds, exams)]


def _kind(chunk: Exams, row: int, parameters: DiseaseParameters) -> tuple[str, ...]:
    defects = describe_defects(chunk.disease, row, parameters)
    return _kind_of(TRACERS[chunk.tracer[row]], SEXES[chunk.sex[row]], int(chunk.scores.label[row]), defects)


def _kind_of(tracer: str, sex: str, label: int, defects: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Tracer, sex, and vessel and kind of the deepest defect: exams are chosen to differ in these."""
    if label == 0:
        return (tracer, sex, "normal" if not defects else "below threshold")
    first = max(defects, key=lambda defect: float(defect["depth"]))
    return (tracer, sex, f"{first['vessel']} {first['kind']}")


def _chunk_row(chunk: Exams, row: int, kind: tuple[str, ...], parameters: DiseaseParameters) -> _Shown:
    scores = chunk.scores
    defects = describe_defects(chunk.disease, row, parameters)
    summed = (scores.summed_stress[row], scores.summed_rest[row], scores.summed_difference[row])
    pictures = [
        coloured(counts[row]) if acquired[row] else None
        for counts, acquired in ((chunk.stress, chunk.has_stress), (chunk.rest, chunk.has_rest))
    ]
    return _Shown(
        title=_title(TRACERS[chunk.tracer[row]], SEXES[chunk.sex[row]], int(chunk.age[row])),
        truth=_truth_text(defects, summed, int(scores.label[row]), int(chunk.recorded_label[row])),
        pictures=tuple(pictures),
        kind=kind,
    )


def _from_folder(folder: Path, exams: int) -> list[_Shown]:
    try:
        manifest = pd.read_csv(folder / "manifest.csv", keep_default_na=False)
        truth = pd.read_csv(folder / "truth.csv")
    except OSError as error:
        raise ExperimentError(
            f"the preview needs a synthetic cohort, but {folder} holds no manifest.csv and truth.csv"
        ) from error
    rows = manifest.merge(truth.drop(columns="tracer"), on="exam_id", validate="1:1").to_dict("records")
    kinds = [_kind_of(row["tracer"], row["sex"], int(row["true_label"]), json.loads(row["defects"])) for row in rows]
    return [_folder_row(folder, rows[index], kinds[index]) for index in _varied(kinds, exams)]


def _folder_row(folder: Path, row: Mapping[Any, Any], kind: tuple[str, ...]) -> _Shown:
    summed = (row["sss"], row["srs"], row["sds"])
    return _Shown(
        title=_title(row["tracer"], row["sex"], int(row["age"])),
        truth=_truth_text(json.loads(row["defects"]), summed, int(row["true_label"]), int(row["recorded_label"])),
        pictures=tuple(_picture(folder / row[phase]) if row[phase] else None for phase in PHASES),
        kind=kind,
    )


def _picture(file: Path) -> NDArray[np.uint8]:
    """A stored map of any format as an image `[H, W, 3]`."""
    values = np.load(file, allow_pickle=False) if file.suffix == ".npy" else np.asarray(Image.open(file))
    return values if values.ndim == 3 else coloured(values)


def _varied(kinds: Sequence[tuple[str, ...]], exams: int) -> list[int]:
    """The indices of the exams to show: kinds that were not chosen yet come first, tracers alternate."""
    chosen: list[int] = []
    # Greedy: each step takes the exam that is least similar to those chosen before.
    left = list(range(len(kinds)))
    while left and len(chosen) < exams:
        shown = [kinds[index] for index in chosen]
        best = min(left, key=lambda index: (_similarity(kinds[index], shown), index))
        chosen.append(best)
        left.remove(best)
    return sorted(chosen, key=lambda index: (kinds[index][0], kinds[index][2] != "normal", index))


def _similarity(kind: tuple[str, ...], shown: Sequence[tuple[str, ...]]) -> tuple[int, int, int]:
    """A sort key: how many of the exams shown have the same finding, tracer and sex."""
    tracer, sex, finding = kind
    same = sum(other[2] == finding and other[0] == tracer for other in shown)
    # An exam below the threshold looks like a normal one and comes last.
    same += 100 * (finding == "below threshold")
    return same, sum(other[0] == tracer for other in shown), sum(other[1] == sex for other in shown)


def _title(tracer: str, sex: str, age: int) -> str:
    return f"{tracer}, {'woman' if sex == 'F' else 'man'}, {age}"


def _truth_text(defects: Sequence[Mapping[str, Any]], summed: Sequence[Any], label: int, recorded: int) -> str:
    found = "; ".join(f"{d['vessel']} {d['kind']} {100 * float(d['depth']):.0f} %" for d in defects)
    scores = "SSS {} SRS {} SDS {}".format(*(int(value) for value in summed))
    return f"{found or 'no disease'}\n{scores}; label {label}, recorded {recorded}"


def _draw(shown: Sequence[_Shown]) -> Figure:
    columns = 2 if len(shown) > 1 else 1
    rows = -(-len(shown) // columns)
    height = rows * (_INCHES + _CAPTION_INCHES)
    figure = Figure(figsize=(columns * 2 * _INCHES, height), facecolor="black")
    # Without pyplot: no display is needed, and no global state is changed.
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, 2 * columns, squeeze=False)
    for panel in axes.flat:
        panel.set_axis_off()
    for number, exam in enumerate(shown):
        row, column = divmod(number, columns)
        for phase in range(len(PHASES)):
            _bullseye(axes[row, 2 * column + phase], exam.pictures[phase], PHASES[phase])
        axes[row, 2 * column].set_title(exam.title, color="white", fontsize=8, loc="left")
        axes[row, 2 * column].text(
            0.02, -0.03, exam.truth, color="white", fontsize=7, va="top",
            transform=axes[row, 2 * column].transAxes,
        )  # fmt: skip
    figure.subplots_adjust(
        left=0.01,
        right=0.99,
        top=1.0 - 0.22 / height,
        bottom=(_CAPTION_INCHES - 0.22) / height,
        wspace=0.04,
        hspace=_CAPTION_INCHES / _INCHES,
    )
    return figure


def _bullseye(panel: Axes, picture: NDArray[np.uint8] | None, phase: str) -> None:
    """Draw one map with segment borders and territories."""
    panel.set_xlim(-1.05, 1.05)
    panel.set_ylim(-1.05, 1.05)
    panel.set_aspect("equal")
    panel.text(0.98, -0.98, phase, color="white", fontsize=7, ha="right", va="bottom")
    if picture is None:
        panel.text(0.0, 0.0, "not acquired", color="grey", fontsize=8, ha="center")
        return
    panel.imshow(picture, extent=(-1, 1, -1, 1), interpolation="nearest")
    for x, y in _segment_lines():
        panel.plot(x, y, color="white", linewidth=0.5, alpha=0.7)
    for name, angle in _TERRITORY_NAMES:
        turn = np.radians(angle)
        panel.text(0.86 * np.cos(turn), 0.86 * np.sin(turn), name, color="white", fontsize=6, ha="center")


def _segment_lines() -> list[tuple[Floats, Floats]]:
    """The borders of the AHA segments as curves."""
    turn = np.linspace(0.0, 2.0 * np.pi, 121)
    lines = [(radius * np.cos(turn), radius * np.sin(turn)) for radius in RING_RADII]
    apex, apical, _, base = RING_RADII
    # Sixths at middle and base, quarters at the apical ring, as in `geometry.segment_at`.
    spokes = [(degrees, apical, base) for degrees in range(0, 360, 60)]
    spokes += [(degrees, apex, apical) for degrees in range(45, 360, 90)]
    for degrees, start, end in spokes:
        along = np.array([start, end])
        lines.append((along * np.cos(np.radians(degrees)), along * np.sin(np.radians(degrees))))
    return lines
