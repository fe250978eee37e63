"""The answer: to the declared question, the AUCs, what their differences say, and what to be warned of."""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.experiment.settings import StatisticsSettings
from orchestrator.report.counts import NO_AUC, is_told, shows_counts
from orchestrator.report.layout import PARTITION_NAMES, Record, grouped, numbered
from orchestrator.report.layout_of_run import uses
from orchestrator.report.optimism_rows import NOT_ABOVE_CHANCE
from orchestrator.report.readings import Limits, auc_in_words, difference_in_words, noninferiority_in_words
from orchestrator.report.records import EVERYONE, FLAT_SEARCH, Report, is_of_flat_search
from orchestrator.report.remarks import ESTIMANDS
from orchestrator.report.traced import Phrase, of_summary


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What stands first."""

    sentences: tuple[tuple[Phrase, ...], ...]
    """Before the figures: of each tracer the answer to the declared question, its AUCs, and counts in place of them."""
    readings: tuple[tuple[Phrase, ...], ...]
    """What the differences say, by the rules of `readings`."""
    remarks: tuple[tuple[Phrase, ...], ...]
    """What the intervals are for, warnings, openings of the test partition."""


def answer(report: Report) -> Answer:
    """The answer of a report, from its leading rows."""
    rows = [row for row in numbered(report.summary) if row["subgroup"] == EVERYONE and row["primary"]]
    sentences, readings, warnings = [], [], []
    for (_, _), mine in grouped(rows, "tracer", "endpoint"):
        leading = [row for row in mine if row["partition"] == _leading_partition(mine)]
        sentences.extend([*_primary(mine), *_sentences(mine, leading)])
        readings.extend(_readings(leading, report.statistics))
        warnings.extend(_warnings(leading))
    used = [(line if line.endswith(".") else f"{line}.",) for line in (*uses(report), *report.notices)]
    remarks = (*_estimands(rows), *warnings, *used)
    return Answer(sentences=tuple(sentences), readings=tuple(readings), remarks=remarks)


def _estimands(rows: Sequence[Record]) -> list[tuple[Phrase, ...]]:
    """What the judged model's intervals are for; by tracer and inputs only where they differ within a partition."""
    judged = [row for row in rows if row["metric"] == "auc" and row["model"] == rows[0]["model"]]
    areas = [row for row in judged if row["low"] is not None and row["estimand"]]
    places: dict[str, list[str]] = {}
    for (estimand, partition), alike in grouped(areas, "estimand", "partition"):
        where = _where(alike[0])
        if any(row["partition"] == partition and row["estimand"] != estimand for row in areas):
            parts = [f"{name} {', '.join(row['inputs'] for row in mine)}" for (name,), mine in grouped(alike, "tracer")]
            where = f"{where} of {' and '.join(parts)}"
        places.setdefault(estimand, []).append(where)
    return [(f"Intervals ({'; '.join(found)}): {ESTIMANDS[name]}.",) for name, found in places.items()]


def _primary(rows: Sequence[Record]) -> list[tuple[Phrase, ...]]:
    """The answer to the declared question, the test's first; nothing where none was declared."""
    asked = [row for row in rows if row["metric"] == "auc_noninferiority" and is_told(row)]
    asked.sort(key=lambda row: bool(row["partition"] == "development"))
    if not asked:
        return []
    parts: list[Phrase] = [f"{asked[0]['tracer']}, {asked[0]['endpoint']}."]
    for row in asked:
        where = _where(row)
        # Not `capitalize`, which would write the name of a cohort in small letters.
        parts += [f" {where[0].upper()}{where[1:]}: ", of_summary(row, str(row["reason"]), "reason"), "."]
    return [tuple(parts)]


def _leading_partition(rows: Sequence[Record]) -> str:
    """The test where it was opened and gave an AUC, otherwise what there is."""
    areas = [row for row in rows if row["metric"] == "auc"]
    found = dict.fromkeys(row["partition"] for row in areas if row["estimate"] is not None)
    # Counts alone lead where nothing else was judged.
    found = found or dict.fromkeys(row["partition"] for row in areas if shows_counts(row))
    return "test" if "test" in found or not found else str(next(iter(found)))


def _sentences(rows: Sequence[Record], leading: Sequence[Record]) -> list[tuple[Phrase, ...]]:
    """The AUCs of the leading partition, and the counts of any that has too few patients for an AUC."""
    counted = [row for row in _areas(rows) if shows_counts(row)]
    others = [row for row in _areas(leading) if not shows_counts(row)]
    found = [_sentence(others)] if others else []
    return [*found, *(_counts(mine) for _, mine in grouped(counted, "partition"))]


def _areas(rows: Sequence[Record]) -> list[Record]:
    return [row for row in rows if row["metric"] == "auc" and row["model"] == rows[0]["model"]]


def _about(row: Record) -> list[Phrase]:
    """Tracer, endpoint, partition, patients and events."""
    where = _where(row)
    if is_of_flat_search(row):
        where += f", {FLAT_SEARCH}"
    counted = f"{row['patients']} patients, {row['positives']} events"
    numbers = of_summary(row, counted, "patients", "positives")
    return [f"{row['tracer']}, {row['endpoint']}, {where} (", numbers, "): "]


def _where(row: Record) -> str:
    """The partition, because one tracer's sentences may be about its test and another's about its cross-validation."""
    return str(PARTITION_NAMES.get(row["partition"], row["partition"]))


def _counts(rows: Sequence[Record]) -> tuple[Phrase, ...]:
    """How many exams each input configuration decided rightly, where a class has too few patients for an AUC."""
    parts: list[Phrase] = [*_about(rows[0]), NO_AUC]
    for row in rows:
        # What stands in the head of the sentence already is not said again.
        told = str(row["reason"]).removesuffix(f"; {NO_AUC}").removeprefix(f"{FLAT_SEARCH}; ")
        parts += [f"; {row['inputs']} (", of_summary(row, told, "reason"), ")"]
    return (*parts, ".")


def _sentence(areas: Sequence[Record]) -> tuple[Phrase, ...]:
    """Endpoint, patients (events), and the AUC of each input configuration with its interval."""
    if not any(row["state"] == "ok" for row in areas):
        return ("No AUC: ", *_refused(areas))
    first = next(row for row in areas if row["state"] == "ok")
    parts = _about(first)
    for place, row in enumerate(areas):
        parts.append(f"{', ' if place else 'AUC '}{row['inputs']} ")
        if row["state"] != "ok":
            parts.append("refused")
            continue
        limits = f"({row['low']:.3f} to {row['high']:.3f})"
        parts.append(of_summary(row, f"{row['estimate']:.3f} {limits}", "estimate", "low", "high"))
    return (*parts, "; ", of_summary(first, f"{100 * first['level']:g}% intervals", "level"), ".")


def _refused(rows: Sequence[Record]) -> list[Phrase]:
    return [of_summary(row, f"{row['inputs']}: {row['reason']}. ", "reason") for row in rows]


def _readings(rows: Sequence[Record], settings: StatisticsSettings) -> list[tuple[Phrase, ...]]:
    """The declared question first; each other pair by the zone of equivalence; then network and baseline."""
    declared = [row for row in rows if row["metric"] == "auc_noninferiority"]
    asked = {(row["inputs"], row["model"]) for row in declared}
    pairs = [row for row in rows if row["metric"] == "auc_difference" and (row["inputs"], row["model"]) not in asked]
    found: list[tuple[Phrase, ...]] = []
    for row in (*declared, *pairs):
        if row["state"] != "ok" or row["low"] is None:
            continue
        first, second = _sides(row, rows[0]["model"])
        if row in declared:
            words = noninferiority_in_words(first, second, _limits(row), row["at"])
        else:
            words = difference_in_words(first, second, _limits(row), settings.equivalence) + _adjusted(row)
        limits = f"{row['estimate']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})"
        said: Phrase = of_summary(row, words, "at") if row in declared else words
        parts = (said, ": ", of_summary(row, limits, "estimate", "low", "high"))
        found.append((f"{row['tracer']}, {_where(row)}: ", *parts, "."))
    return found


def _adjusted(row: Record) -> str:
    """Where an interval alone shows a difference that Holm's correction of its family takes back."""
    alone = row["low"] > 0 or row["high"] < 0
    # No p-value: rows of another origin than a family of hypotheses.
    if not alone or row["p_holm"] is None or row["p_holm"] <= 1 - row["level"]:
        return ""
    return ", by its own interval, but not after Holm's correction"


def _sides(row: Record, judged: str) -> tuple[str, str]:
    """What a difference compares: two input configurations, or two models on one of them."""
    if row["model"] == judged and row["inputs"].count("-") == 1:
        first, second = row["inputs"].split("-")
        return first, second
    if row["model"].count("-") == 1:
        first, second = row["model"].split("-")
        return f"the {first} on {row['inputs']} input", f"the {second} baseline"
    return f"the first of {row['inputs']}", "the second"


def _warnings(rows: Sequence[Record]) -> list[tuple[Phrase, ...]]:
    areas = [row for row in _areas(rows) if row["low"] is not None]
    if not areas:
        return []
    about = f"{rows[0]['tracer']}, {_where(rows[0])}"
    named: dict[str, list[str]] = {}
    for row in areas:
        if is_of_flat_search(row):
            # An interval above 0.5 is a claim that needs no words, so it is taken back in words.
            named.setdefault(f": {NOT_ABOVE_CHANCE}", []).append(row["inputs"])
        # Input configurations of which the same is said share a line.
        said = auc_in_words("", _limits(row))
        if said:
            named.setdefault(said, []).append(row["inputs"])
    return [(f"{about}, {', '.join(inputs)}{said}.",) for said, inputs in named.items()]


def _limits(row: Record) -> Limits:
    return Limits(low=row["low"], high=row["high"])
