"""What `plan` prints beyond `check`: folds, work to do, the precision and the time to expect."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table

from orchestrator.driver.prepare import Prepared
from orchestrator.folds.plan import Membership
from orchestrator.ledger.reading import Run
from orchestrator.statistics.precision import expected_width, noninferiority_power
from orchestrator.terminal.checking import Group, groups_of, print_check
from orchestrator.terminal.consoles import standard_output

UNKNOWN = "time: unknown until some cells of this experiment have run"
CELL = ["inputs", "partition", "repeat", "fold"]
DECIDING_TIME = ("images", "network", "search", "training")
SUPPOSED_AUC = 0.85
"""The AUC the expected intervals suppose: about what this field reports."""


def print_plan(prepared: Prepared, earlier: Run | None) -> None:
    """Print what a run would do.

    Args:
        prepared: The experiment.
        earlier: A run of that name, begun or finished, whose cells tell how long one takes.
    """
    console = standard_output()
    print_check(prepared, console)
    console.print()
    console.print(_fold_table(prepared))
    for line in (_work(prepared), *_precision(prepared), _time(prepared, earlier)):
        console.print(line, highlight=False, markup=False)


def cells_of(prepared: Prepared) -> int:
    """Cells of the experiment, final ones included."""
    return len(prepared.loaded.experiment.cohort.inputs) * (prepared.plan.repeats * prepared.plan.count + 1)


def _fold_table(prepared: Prepared) -> Table:
    """Class balance: for each tracer the smallest and largest fold over all repeats."""
    plan = prepared.plan
    title = f"Folds: patients in the smallest and the largest of {plan.repeats} × {plan.count}"
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for name in ("tracer", "inputs", "patients", "with a positive exam", "with a negative exam"):
        table.add_column(name)
    for members in _alike(plan.memberships):
        first = members[0]
        masks = (first.positive | first.negative, first.positive, first.negative)
        inputs = ", ".join(member.inputs for member in members)
        table.add_row(first.tracer, inputs, *(_range(plan.folds, plan.count, mask) for mask in masks))
    return table


def _alike(memberships: tuple[Membership, ...]) -> list[list[Membership]]:
    """Memberships gathered that hold the same patients."""
    gathered: dict[tuple[str, bytes, bytes], list[Membership]] = {}
    for member in memberships:
        key = (member.tracer, member.positive.tobytes(), member.negative.tobytes())
        gathered.setdefault(key, []).append(member)
    return list(gathered.values())


def _range(folds: NDArray[np.int64], count: int, mask: NDArray[np.bool_]) -> str:
    sizes = [int((row[mask] == fold).sum()) for row in folds for fold in range(count)]
    return f"{min(sizes)} to {max(sizes)}"


def _work(prepared: Prepared) -> str:
    experiment, plan, cells = prepared.loaded.experiment, prepared.plan, cells_of(prepared)
    trainings = cells * (experiment.search.candidates * experiment.search.inner_folds + experiment.training.members)
    return (
        f"work: {len(experiment.cohort.inputs)} inputs × ({plan.repeats} repeats × {plan.count} folds + 1 final) = "
        f"{cells} cells; at most {trainings} trainings of up to {experiment.training.epochs} epochs"
    )


def _precision(prepared: Prepared) -> Iterator[str]:
    for group in groups_of(prepared):
        positive, negative = (
            group.exams.loc[group.exams["label"] == label, "patient_id"].nunique() for label in (1, 0)
        )
        if positive and negative:
            yield _sentence(prepared, group, positive, negative)
        if min(positive, negative) > 1:
            yield from _power(prepared, group, positive, negative)


def _sentence(prepared: Prepared, group: Group, positive: int, negative: int) -> str:
    level = prepared.loaded.experiment.statistics.level
    width = expected_width(positive, negative, SUPPOSED_AUC, *_design(prepared, group), level)
    return f"precision, {_place(group)} ({group.all_inputs}): {width.sentence()}"


def _power(prepared: Prepared, group: Group, positive: int, negative: int) -> Iterator[str]:
    """The primary hypothesis, where one was declared whose two inputs use these exams."""
    statistics = prepared.loaded.experiment.statistics
    question = statistics.noninferiority
    if question is None or not set(question.sides) <= set(group.inputs):
        return
    power = noninferiority_power(
        positive, negative, question.margin, SUPPOSED_AUC, *_design(prepared, group), statistics.level
    )
    yield f"primary hypothesis, {_place(group)} ({question.pair}): {power.sentence()}"


def _design(prepared: Prepared, group: Group) -> tuple[int | None, int | None]:
    """Folds and repeats of a cross-validation; none for a test."""
    return (None, None) if group.partition == "test" else (prepared.plan.count, prepared.plan.repeats)


def _place(group: Group) -> str:
    return f"{group.tracer}, {'test' if group.partition == 'test' else 'cross-validation'}"


def _same_work(prepared: Prepared, earlier: Run) -> bool:
    """Whether a cell of the earlier run did what a cell of this experiment will do."""
    stored: Any = earlier.description["settings"]
    mine = asdict(prepared.loaded.experiment)
    return all(stored[section] == mine[section] for section in DECIDING_TIME)


def _time(prepared: Prepared, earlier: Run | None) -> str:
    """From the cells an earlier run has finished, if there are any; otherwise it is not known."""
    if earlier is None or not _same_work(prepared, earlier):
        return UNKNOWN
    cells = earlier.cells
    done = cells.loc[cells["state"] == "complete", CELL]
    timings = earlier.timings
    seconds = timings[timings["candidate"].isna()].merge(done, on=CELL)["seconds"]
    if seconds.empty:
        return UNKNOWN
    hours = float(seconds.mean()) * cells_of(prepared) / 3600
    return (
        f"time: about {hours:.2g} worker-hours in all, from {len(seconds)} cells finished earlier "
        f"at {seconds.mean():.1f} s each; divide by the cells that run side by side"
    )
