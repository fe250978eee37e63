"""The page `docs/coverage.md`, written from the rows that the simulation gate measured."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from validation.coverage_rows import Row
from validation.fold_gates import OWN_METHOD, RIVAL
from validation.measured import Measured, monte_carlo_slack

_COVERS = 0.935
"""The least coverage with which a rival counts as one that covers."""
_AIM = (0.935, 0.975)
_REPEATS = re.compile(r",? ?\b5 × \d+\b")


def as_markdown(rows: Sequence[Row], names: Sequence[str]) -> str:
    """The whole page.

    Args:
        rows: What was measured.
        names: All pieces of the gate; those without rows are named as not run.
    """
    text = Path(__file__).with_name("coverage_head.md").read_text(encoding="utf-8")
    days, seeds = sorted({row.date for row in rows}), sorted({row.seed for row in rows})
    counts = sorted({row.measured.simulations for row in rows} - {0})
    head = text.format(
        seeds=" and ".join(str(seed) for seed in seeds),
        days=" to ".join(dict.fromkeys((days[0], days[-1]))),
        simulations=", ".join(f"{count:,}" for count in counts),
    )
    out = sum(not row.measured.verdict(monte_carlo_slack(row.measured.simulations)) for row in rows)
    gated = [row.measured for row in rows if row.measured.accepted != (0.0, 1.0)]
    controls = sum(measured.control for measured in gated)
    verdict = (
        f"{len(gated) - controls} rows have to cover and {controls} controls must not; {out} are out of their range."
    )
    have = {row.piece for row in rows}
    missing = [name for name in names if name not in have]
    if missing:
        verdict += f" Not run, `python -m validation.coverage --missing` does it: {'; '.join(missing)}."
    measured = [row.measured for row in rows if not row.measured.method.endswith(RIVAL)]
    parts = [head, *_widths(rows), "", "## What was covered", "", verdict, "", _default_interval(measured), ""]
    return "\n".join([*parts, *_table(measured), ""])


def _default_interval(found: Sequence[Measured]) -> str:
    """How often the default interval reached the aim."""
    rates = [measured.rate for measured in found if measured.method == OWN_METHOD]
    below, above = sum(rate < _AIM[0] for rate in rates), sum(rate > _AIM[1] for rate in rates)
    return (
        f"The aim of the default interval is a coverage of {_AIM[0]} to {_AIM[1]}. Of {len(rates)} settings "
        f"{len(rates) - below - above} reach it, {below} lie below it ({min(rates):.3f} at the least), {above} above "
        f"({max(rates):.3f} at the most). Each row below is the smallest and the largest of several settings (AUCs, "
        "repeats). The settings one by one are in `validation/coverage_rows.csv`."
    )


def _table(found: Sequence[Measured]) -> Iterator[str]:
    """One line for the settings of a kind, which differ in AUC and repeats only."""
    groups: dict[tuple[str, ...], list[Measured]] = defaultdict(list)
    for measured in found:
        settings = _REPEATS.sub("", _family(measured.setting)).strip(", ")
        role = "control" if measured.control else measured.quantity
        groups[measured.world, settings, measured.method, role].append(measured)
    yield "| world | settings | method | rows | smallest | largest | accepted | mean width | largest undefined | |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for (world, settings, *_), group in groups.items():
        yield "| " + " | ".join([world, settings, *_summary(group)]) + " |"


def _summary(group: Sequence[Measured]) -> Iterator[str]:
    first, rates = group[0], [measured.rate for measured in group]
    coverage = first.quantity == "coverage"
    ranges = sorted({measured.accepted for measured in group} - {(0.0, 1.0)})
    yield first.method + (" (control)" if first.control else "") + ("" if coverage else ", rejections")
    yield str(len(group))
    yield f"{min(rates):.3f}"
    yield f"{max(rates):.3f}"
    yield " or ".join(f"{low:.3f}–{high:.3f}" for low, high in ranges)
    yield f"{sum(measured.width for measured in group) / len(group):.3f}" if coverage else ""
    yield f"{max(measured.undefined for measured in group):.3f}"
    out = sum(not measured.verdict(monte_carlo_slack(measured.simulations)) for measured in group)
    yield "" if not ranges else f"**{out} out**" if out else "ok"


def _widths(rows: Sequence[Row]) -> Iterator[str]:
    """Each setting with the narrowest rival that covers in it, and with the narrowest that covers at every AUC."""
    settings: dict[str, dict[str, Measured]] = defaultdict(dict)
    for row in rows:
        settings[row.measured.setting][row.measured.method] = row.measured
    compared = {
        name: methods for name, methods in settings.items() if any(method.endswith(RIVAL) for method in methods)
    }
    steady = _covering_at_every_area(compared)
    yield "| setting | coverage | width | narrowest rival that covers here | its coverage | its width | ratio |"
    yield "|---|---|---|---|---|---|---|"
    ratios, steady_ratios = [], []
    for name, methods in compared.items():
        own = methods[OWN_METHOD]
        rivals = [measured for method, measured in methods.items() if method.endswith(RIVAL)]
        covering = [rival for rival in rivals if rival.rate >= _COVERS and rival.undefined == 0]
        cells = ["none", "", "", ""]
        if covering:
            best = min(covering, key=lambda rival: rival.width)
            ratios.append(own.width / best.width)
            cells = [best.method.removesuffix(RIVAL), f"{best.rate:.3f}", f"{best.width:.3f}", f"{ratios[-1]:.2f}"]
        everywhere = [rival.width for rival in rivals if rival.method in steady[_family(name)]]
        steady_ratios += [own.width / min(everywhere)] if everywhere else []
        yield "| " + " | ".join([name, f"{own.rate:.3f}", f"{own.width:.3f}", *cells]) + " |"
    yield ""
    yield (
        f"A rival covers in {len(ratios)} of {len(compared)} settings. Against the narrowest there the interval is "
        f"{_spread(ratios)} times as wide. In {len(steady_ratios)} a rival covers that also covers at the other AUCs "
        f"of the same learner, patients and repeats. Against the narrowest of these it is {_spread(steady_ratios)} "
        "times as wide."
    )


def _spread(ratios: Sequence[float]) -> str:
    if not ratios:
        return "not"
    return f"{sum(ratios) / len(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def _covering_at_every_area(compared: dict[str, dict[str, Measured]]) -> dict[str, set[str]]:
    """By learner, patients and repeats: the rivals that cover whatever the AUC, which nobody knows beforehand."""
    found: dict[str, set[str]] = {}
    for name, methods in compared.items():
        covers = {method for method, one in methods.items() if method.endswith(RIVAL) and one.rate >= _COVERS}
        family = _family(name)
        found[family] = found[family] & covers if family in found else covers
    return found


def _family(setting: str) -> str:
    """The setting without its AUC."""
    before, _, after = setting.partition(", AUC ")
    return before + "," + after.partition(",")[2]
