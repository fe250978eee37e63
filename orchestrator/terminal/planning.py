"""What `plan` prints beyond `check`: folds, work to do, the precision and the time to expect."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from rich import box
from rich.table import Table

from orchestrator.driver.cohort_check import records
from orchestrator.driver.run_plan import RunPlan
from orchestrator.report.counts import FEWEST
from orchestrator.statistics.precision import EVEN_CHANCE, WANTED_POWER
from orchestrator.terminal.checking import print_check
from orchestrator.terminal.consoles import standard_output
from orchestrator.terminal.wording import rounded

if TYPE_CHECKING:
    from orchestrator.driver.forecast import Range  # torch; a plan without a pilot does without it

_FEW: Final = f"with fewer than {FEWEST} of a class the report gives {{}}"


def print_plan(plan: RunPlan) -> None:
    """Print what a run would do."""
    console = standard_output()
    print_check(plan.check, console)
    console.print()
    console.print(_fold_table(plan))
    for line in (
        _network(plan),
        _work(plan),
        *_precision(plan),
        *_primary(plan),
        _time(plan),
        *_further(plan),
        *_pilot(plan),
    ):
        console.print(line, highlight=False, markup=False)


def _fold_table(plan: RunPlan) -> Table:
    title = f"Folds: patients in the smallest and the largest of {plan.repeats} × {plan.folds}"
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for name in ("tracer", "inputs", "patients", "with a positive exam", "with a negative exam"):
        table.add_column(name)
    for tracer, inputs, *sizes in plan.fold_sizes.itertuples(index=False):
        # Columns alternate between smallest and largest fold.
        ranges = (f"{low} to {high}" for low, high in zip(sizes[::2], sizes[1::2], strict=True))
        table.add_row(tracer, inputs, *ranges)
    return table


def _network(plan: RunPlan) -> str:
    return (
        f"network: {plan.backbone}, {len(plan.encoder)} of {plan.backbone_stages} stages: {', '.join(plan.encoder)}"
        f"{'; the search decides where the encoder ends' if plan.encoder_searched else ''}"
    )


def _work(plan: RunPlan) -> str:
    # One cell for each outer fold of each repeat, and one for the final model.
    judged = plan.cells - plan.parts
    configurations = judged // (plan.repeats * plan.folds + 1)
    parts = f" and {plan.parts} parts of the flat search" if plan.parts else ""
    return (
        f"work: {configurations} input {'configurations' if configurations > 1 else 'configuration'} × "
        f"({plan.repeats} repeats × {plan.folds} folds + 1 final) = {judged} cells{parts}; "
        f"at most {plan.trainings} trainings of up to {plan.epochs} epochs"
    )


def _precision(plan: RunPlan) -> Iterator[str]:
    for row in records(plan.precision):
        where = "test" if row["partition"] == "test" else "cross-validation"
        # Said beforehand, while patients can still be added.
        counted = "; " + _FEW.format("counts in place of an AUC") if _are_few(row) else ""
        yield (
            f"precision, {row['tracer']}, {where} ({row['inputs']}): with {row['positive']} positive and "
            f"{row['negative']} negative patients an AUC of {row['auc']:.2f} comes with a "
            f"{_percent(row['level'])} interval of about [{row['low']:.2f}, {row['high']:.2f}] "
            f"(width {row['width']:.2f}, {row['method']}){counted}"
        )


def _percent(level: object) -> str:
    return f"{100 * float(str(level)):g}%"


def _primary(plan: RunPlan) -> Iterator[str]:
    """The power of the primary hypothesis, where one was declared."""
    for row in records(plan.power):
        where = "test" if row["partition"] == "test" else "cross-validation"
        answered = float(str(row["power"])) >= EVEN_CHANCE and not _are_few(row)
        verdict = "" if answered else "; the question cannot be answered with this cohort"
        verdict += ": " + _FEW.format("no difference of AUCs") if _are_few(row) else ""
        yield (
            f"primary hypothesis, {row['tracer']}, {where}: {row['first']} not worse than {row['second']} by "
            f"{row['margin']:g}: power {row['power']:.2f} with {row['patients']} patients{verdict}; a power of "
            f"{WANTED_POWER:g} needs about {row['patients_needed']} patients (both AUC {row['auc']:.2f}, correlated "
            f"{row['correlation']:g})"
        )


def _are_few(row: Mapping[str, object]) -> bool:
    return min(int(str(row[name])) for name in ("positive", "negative")) < FEWEST


def _time(plan: RunPlan) -> str:
    """From the cells that an earlier run has finished, if there are any; otherwise it is not known."""
    if plan.seconds_per_cell is None or plan.worker_hours is None:
        return "time: unknown until some cells of this experiment have run; `--pilot` times a few trainings now"
    return (
        f"time: about {rounded(plan.worker_hours)} worker-hours in all, from {plan.timed_cells} cells finished earlier "
        f"at {plan.seconds_per_cell:.1f} s each; divide by the cells that run side by side"
    )


def _further(plan: RunPlan) -> Iterator[str]:
    """What more repeats or patients would still buy, after a run."""
    for (tracer, inputs), rows in plan.further.groupby(["tracer", "inputs"], sort=False):
        first, *others = rows.itertuples()
        bought = ", ".join(
            f"{f'{row.repeats} repeats' if row.patients == 1 else f'{row.patients:g} × the patients'} "
            f"{row.width:.3f} ({rounded(float(str(row.worker_hours)))} h)"
            for row in others
        )
        yield (
            f"what more would buy, {tracer} ({inputs}): the {_percent(first.level)} interval is {first.width:.3f} wide "
            f"({first.repeats} repeats, {rounded(float(str(first.worker_hours)))} worker-hours in all); with {bought}"
        )


def _pilot(plan: RunPlan) -> Iterator[str]:
    """What a pilot forecasts, where one was asked for."""
    if plan.pilot is None:
        return
    run, workers = plan.pilot.run, plan.pilot.workers
    yield (
        f"pilot: {run.trainings} trainings timed on the {run.device}, {run.ended} of them to their end; a cell takes "
        + ", ".join(f"{_range(seconds, 's')} ({name})" for name, seconds in run.cell_seconds.items())
    )
    yield (
        f"pilot: {_range(run.worker_hours, 'worker-hours')} in all; {_range(run.wall_hours[workers], 'hours')} by the "
        f"clock with {workers} cells side by side here ({_percent(run.level)} intervals)"
    )
    for found in plan.pilot.nodes:
        node = found.node
        where = f"pilot, {node.nodes} × {node.instance_type} ({node.name})"
        if found.wall_hours is None:
            yield f"{where}: not known; run the pilot on such a node, because it ran on the {run.device} here"
            continue
        price = "price unknown" if found.dollars is None else _range(found.dollars, "US dollars")
        yield (
            f"{where}: {found.workers} cells side by side, {_range(found.wall_hours, 'hours')} if a core there is as "
            f"fast as one here, {price} (on demand, with the head, price table of {node.priced})"
        )


def _range(found: "Range", unit: str) -> str:
    return f"{rounded(found.estimate)} {unit} [{rounded(found.low)}, {rounded(found.high)}]"
