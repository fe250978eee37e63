"""Maps of several kinds in one cohort: file formats, colour scales, near duplicates."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mpi_model.maps import Maps
from mpi_model.vocabulary import PHASES
from orchestrator.cohort.colour_scales import colour_scales
from orchestrator.report.layout import Table, TablesWithWarnings


def storage(exams: pd.DataFrame, maps: Maps, encodings: pd.DataFrame) -> TablesWithWarnings:
    """What kinds of maps there are, by partition, tracer, phase and site.

    Args:
        exams: N exams, as in `Cohort.exams`.
        maps: Theirs.
        encodings: From `orchestrator.cohort.encodings.encodings`.
    """
    known = encodings.merge(_scales(exams, maps), on=["manifest_row", "phase"], how="left")
    kept = ["manifest_row", "partition", "tracer", *(["site"] if "site" in exams else [])]
    joined = exams[kept].merge(known, on="manifest_row")
    keys = [name for name in ("partition", "tracer", "phase", "site", "stored_as", "scale") if name in joined]
    counted = joined.fillna({"site": "(blank)"} if "site" in joined else {}).groupby(keys, sort=True).size()
    rows = tuple((*map(str, key if isinstance(key, tuple) else (key,)), str(count)) for key, count in counted.items())
    heads = [{"stored_as": "stored as", "scale": "colour scale"}.get(name, name) for name in keys]
    return TablesWithWarnings(
        tables=(Table(title="How the maps are stored", columns=(*heads, "maps"), rows=rows),),
        warnings=tuple(_warnings(joined)),
    )


def storage_of_exams(exams: pd.DataFrame, maps: Maps, encodings: pd.DataFrame) -> "pd.Series[str]":
    """`[N]`, how an exam's maps are stored and drawn, both phases together: metadata like a site."""
    known = encodings.merge(_scales(exams, maps), on=["manifest_row", "phase"], how="left")
    texts = (
        known["phase"]
        + ": "
        + known["stored_as"]
        + known["scale"].map(lambda one: "" if one == "grey" else f", scale {one}")
    )
    by_exam = texts.groupby(known["manifest_row"]).agg("; ".join)
    return exams["manifest_row"].map(by_exam)


def _scales(exams: pd.DataFrame, maps: Maps) -> pd.DataFrame:
    """One row a map: `manifest_row, phase, scale`, which is `grey` or a letter, A being the most frequent."""
    parts = []
    stacks = [getattr(maps, phase)[getattr(maps, f"has_{phase}")] for phase in PHASES]
    together = np.concatenate(stacks)
    # Of grey maps three equal channels are stored where others are coloured; they have no scale.
    found = colour_scales(together) if together.shape[1] == 3 else np.full(len(together), -1)
    rows = [exams["manifest_row"].to_numpy()[getattr(maps, f"has_{phase}")] for phase in PHASES]
    for phase, numbers, scales in zip(PHASES, rows, np.split(found, [len(stacks[0])]), strict=True):
        named = ["grey" if one < 0 else chr(ord("A") + min(int(one), 25)) for one in scales]
        parts.append(pd.DataFrame({"manifest_row": numbers, "phase": phase, "scale": named}))
    return pd.concat(parts, ignore_index=True)


def _warnings(joined: pd.DataFrame) -> Sequence[str]:
    found = []
    for column, what in (("stored_as", "stored in"), ("scale", "drawn in")):
        kinds = joined[column].value_counts()
        if len(kinds) > 1:
            listed = ", ".join(f"{kind} ({count})" for kind, count in kinds.items())
            noun = "ways" if column == "stored_as" else "colour scales"
            found.append(
                f"Maps are {what} {len(kinds)} {noun}: {listed}; a network sees the difference, whatever it means"
            )
    return found
