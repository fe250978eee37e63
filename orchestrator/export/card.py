"""The model card of an exported model, from its run: what data can say, and slots for what only people know.

Front matter is written as the Hugging Face hub reads it. Sections are those of Mitchell et al. (2019,
doi:10.1145/3287560.3287596) and, where they agree, of the applied model card of the Coalition for Health AI.
"""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import jinja2
import pandas as pd

from orchestrator.cells.records import NETWORK
from orchestrator.ledger.description import RunDescription
from orchestrator.ledger.openings import frozen_hash
from orchestrator.ledger.reading import Run
from orchestrator.report.build import report_of
from orchestrator.report.counts import shows_counts
from orchestrator.report.layout import as_records, number, numbered
from orchestrator.report.records import EVERYONE, MEASURES, Report
from orchestrator.report.stored import stored_report
from orchestrator.report.validation import case_mix
from orchestrator.storage.base import Storage
from orchestrator.storage.locations import beside, open_storage

_TEMPLATE: Final = Path(__file__).with_name("model_card.md.jinja")
_MARKS: Final = re.compile(r"([\\`*_\[\]|#])")
_CALIBRATION: Final = ("brier", "calibration_intercept", "calibration_slope")


def model_card(run: Run, config: Mapping[str, Any]) -> str:
    """The card as Markdown.

    Args:
        run: The run; its ledger is read, nothing is predicted.
        config: The exported model's `config.json`.
    """
    report = stored_report(run) if run.paths.summary.exists() else report_of(run, drawn=False)
    description = run.description
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    # Names and notices come from a run directory that anybody may have written: no mark-up of theirs counts.
    environment.filters["plain"] = _plain
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    chosen = partial(_rows, report.summary, str(config["inputs"]))
    return template.render(
        config=config,
        run=description,
        settings=description.settings,
        facts=report.facts,
        notices=report.notices,
        exclusions=report.exclusions,
        participants=_participants(run, description),
        results=list(chosen(lambda row: row["metric"] not in _CALIBRATION and row["subgroup"] == EVERYONE)),
        calibration=list(chosen(lambda row: row["metric"] in _CALIBRATION and row["subgroup"] == EVERYONE)),
        subgroups=list(chosen(lambda row: row["subgroup"] != EVERYONE)),
        openings=report.openings,
        validations=_validations(run, description),
        hyperparameters=_hyperparameters(report, str(config["inputs"])),
    )


def _plain(value: object) -> str:
    """A value as Markdown text that is only text, on one line."""
    text = " ".join(str(value).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKS.sub(r"\\\1", text)


def _rows(summary: pd.DataFrame, inputs: str, wanted: Any) -> Iterator[dict[str, str]]:  # noqa: ANN401 - a predicate of a row
    """The leading estimates of the network with one input configuration, as texts."""
    for row in numbered(summary[summary["primary"] & (summary["model"] == NETWORK)]):
        told = row["estimate"] is not None or shows_counts(row)
        if row["inputs"] != inputs or row["metric"] not in MEASURES or not told or not wanted(row):
            continue
        at = "" if row["at"] is None else f" (at {row['at']:g})"
        yield {
            "tracer": str(row["tracer"]),
            "partition": "cross-validation" if row["partition"] == "development" else "test",
            "subgroup": str(row["subgroup"]),
            "measure": f"{MEASURES[row['metric']]}{at}",
            "estimate": _plain(row["reason"]) if shows_counts(row) else number(row["estimate"]),
            "interval": "" if row["low"] is None else f"{number(row['low'])} to {number(row['high'])}",
            "method": str(row["method"] or ""),
            "patients": str(row["patients"]),
            "positives": str(row["positives"]),
        }


def _participants(run: Run, description: RunDescription) -> list[dict[str, str]]:
    """Table 1: who the exams were, by tracer and partition."""
    exams = run.cohort
    cohorts = {name: exams[exams["partition"] == name] for name in ("development", "test")}
    found = as_records(case_mix(cohorts, description.settings.statistics))
    return [{name: str(value) for name, value in row.items()} for row in found]


def _hyperparameters(report: Report, inputs: str) -> dict[str, str]:
    """What the final search chose; of the first member where members differ."""
    cells = report.cells
    final = cells[(cells["partition"] == "test") & (cells["inputs"] == inputs)]
    chosen = as_records(final)[0] if len(final) else {}
    found = {name.removeprefix("hp_"): value for name, value in chosen.items() if name.startswith("hp_")}
    return {name: f"{value:.3g}" for name, value in found.items() if value is not None}


def _validations(run: Run, description: RunDescription) -> list[dict[str, str]]:
    """Uses of these very networks by `polarmap validate`, by cohort."""
    frozen = frozen_hash(run.paths, description.hash)
    log = open_storage(beside(run.paths.root, "validations"))
    used = {name: _uses(log, name, frozen) for name in log.names("") if re.fullmatch("[0-9a-f]{64}", name)}
    return [{"cohort": name[:12], "uses": str(uses)} for name, uses in used.items() if uses]


def _uses(log: Storage, name: str, frozen: str) -> int:
    # The digest of the networks, not their name: a run of the same name may hold other ones.
    return log.read(name).decode("utf-8", errors="replace").count(f'"frozen": "{frozen}"')
