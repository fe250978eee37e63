"""The flow of participants: manifest, exclusions, eligible exams, partitions, tracers, folds."""

from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import wrap
from typing import Final

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from orchestrator.report.figures.drawing import FAINT, INK, Drawing
from orchestrator.report.manuscript.participants import Arm, Count, Participants, Side

# Inches. A line holds so many letters of 8 points in a box of that width.
_WIDTH, _BOX, _WIDE, _LINE, _PAD, _GAP = 5.4, 2.55, 5.2, 0.145, 0.07, 0.24
_LETTERS: Final = {_BOX: 40, _WIDE: 84}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Box:
    """A text with its place; `top` grows downwards."""

    left: float
    top: float
    width: float
    lines: tuple[str, ...]

    @property
    def bottom(self) -> float:
        return self.top + 2 * _PAD + _LINE * len(self.lines)


def flow(found: Participants) -> Drawing:
    """The diagram, and everything in it as numbers.

    Args:
        found: From the manifest to the folds.
    """
    boxes, arrows = _arranged(found)
    figure = Figure(figsize=(_WIDTH, max(box.bottom for box in boxes) + 0.1))
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(0, _WIDTH), ylim=(figure.get_figheight(), 0))
    axes.set_axis_off()
    for box in boxes:
        _draw(axes, box)
    for start, end in arrows:
        axes.annotate("", xy=end, xytext=start, arrowprops={"arrowstyle": "->", "color": FAINT, "linewidth": 0.9})
    return Drawing(
        key="flow",
        section="flow",
        title="Flow of patients and exams",
        description=" Then: ".join(" ".join(box.lines) for box in boxes) + ".",
        caption=(
            "Events are exams with a positive label; each tracer has its own endpoint, so they are not added up.",
        ),
        data=pd.DataFrame(_rows(found), columns=["step", "partition", "tracer", "what", "patients", "exams", "events"]),
        figure=figure,
    )


_Point = tuple[float, float]


def _arranged(found: Participants) -> tuple[list[_Box], list[tuple[_Point, _Point]]]:
    """Boxes from top to bottom, and the arrows between them."""
    manifest = _box(0.1, 0.05, _BOX, ["In the manifest", _counted(found.manifest)])
    left_out = _box(2.75, manifest.bottom + _GAP / 2, _BOX, _exclusions(found))
    eligible = _box(
        0.1, max(manifest.bottom + _GAP, left_out.bottom + _GAP / 2), _BOX, ["Eligible", _counted(found.eligible)]
    )
    middle = manifest.left + 0.4
    aside = (left_out.top + left_out.bottom) / 2
    boxes = [manifest, left_out, eligible]
    arrows = [((middle, manifest.bottom), (middle, eligible.top)), ((middle, aside), (left_out.left, aside))]
    for place, side in enumerate(found.sides):
        left = 0.1 + 2.65 * place
        below = _box(left, eligible.bottom + _GAP, _BOX, [side.partition.capitalize(), _counted(side.count)])
        start = min(left + 0.4, eligible.left + eligible.width - 0.2)
        arrows.append(((start, eligible.bottom), (left + 0.4, below.top)))
        boxes.append(below)
        for arm in side.arms:
            above, below = below, _box(left, below.bottom + _GAP * 0.8, _BOX, _arm(arm, side, found))
            arrows.append(((left + 0.4, above.bottom), (left + 0.4, below.top)))
            boxes.append(below)
    return boxes, arrows


def _box(left: float, top: float, width: float, texts: list[str]) -> _Box:
    lines = [line for text in texts for line in wrap(text, _LETTERS[width]) or [""]]
    return _Box(left=left, top=top, width=width, lines=tuple(lines))


def _draw(axes: Axes, box: _Box) -> None:
    size = (box.width, box.bottom - box.top)
    style = f"round,pad=0,rounding_size={_PAD / 2}"
    axes.add_patch(
        FancyBboxPatch((box.left, box.top), *size, boxstyle=style, facecolor="none", edgecolor=INK, linewidth=0.8)
    )
    for place, line in enumerate(box.lines):
        # The first line names the step.
        weight = "bold" if place == 0 else "normal"
        axes.text(box.left + _PAD, box.top + _PAD + _LINE * (place + 0.78), line, fontsize=7.5, fontweight=weight)


def _counted(count: Count) -> str:
    events = "" if count.events is None else f", {count.events} events"
    return f"{count.patients} patients, {count.exams} exams{events}"


def _exclusions(found: Participants) -> list[str]:
    lines = ["Left out"]
    if not found.exclusions:
        return [*lines, "none"]
    lines += [
        f"{one.count} {one.partition} exam{'s' if one.count > 1 else ''}: {one.reason}" for one in found.exclusions
    ]
    if not found.shared:
        lines.append(f"Input configurations use other exams; no configuration uses {found.unused.exams} exams.")
    return lines


def _arm(arm: Arm, side: Side, found: Participants) -> list[str]:
    lines = [f"{arm.tracer}: {arm.endpoint}", _counted(arm.count)]
    lines += [f"{inputs}: {_counted(count)}" for inputs, count in arm.by_inputs]
    if side.partition == "test":
        return [*lines, "events not shown: the test is closed"] if arm.count.events is None else lines
    lines.append(f"{found.folds}")
    if arm.folds is not None:
        patients, events = (
            f"{low} to {high}" if low < high else f"{low}" for low, high in (arm.folds.patients, arm.folds.events)
        )
        lines.append(f"in a fold: {patients} patients, {events} with an event")
    return lines


def _rows(found: Participants) -> Iterator[tuple[object, ...]]:
    yield ("manifest", "", "", "", *_numbers(found.manifest))
    for one in found.exclusions:
        yield ("left out", one.partition, "", one.reason, None, one.count, None)
    yield ("not used", "", "", "", *_numbers(found.unused))
    yield ("eligible", "", "", "", *_numbers(found.eligible))
    for side in found.sides:
        yield (side.partition, side.partition, "", "", *_numbers(side.count))
        for arm in side.arms:
            yield ("tracer", side.partition, arm.tracer, arm.endpoint, *_numbers(arm.count))
            for inputs, count in arm.by_inputs:
                yield ("input configuration", side.partition, arm.tracer, inputs, *_numbers(count))
            if arm.folds is not None:
                for place, name in enumerate(("smallest fold", "largest fold")):
                    sizes = (arm.folds.patients[place], None, arm.folds.events[place])
                    yield (name, side.partition, arm.tracer, found.folds, *sizes)


def _numbers(count: Count) -> tuple[int, int, int | None]:
    return (count.patients, count.exams, count.events)
