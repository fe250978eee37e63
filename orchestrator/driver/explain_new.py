"""Where the scores of new exams come from: `polarmap predict --explain`. What it gives is about single patients."""

from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import torch

from mpi_model.determinism import single_threaded
from mpi_model.errors import CohortError
from mpi_model.vocabulary import PHASES_OF, TRACERS
from orchestrator.cohort.loading import load_cohort
from orchestrator.driver.open_test import final_networks
from orchestrator.driver.predict import with_channels
from orchestrator.explanation.exams import explain_exams
from orchestrator.explanation.reference_maps import read_reference_maps
from orchestrator.ledger.reading import Run
from orchestrator.ledger.schemas import attribution_columns
from orchestrator.monitoring.progress import Progress, shown

_MARK: Final = "single patient: identifying"


def explain_new_exams(run: Run, manifest: Path, progress: Progress) -> pd.DataFrame:
    """Attribute the score of every exam of a manifest to the segments of its maps.

    Args:
        run: A run with its final networks, explained once: it keeps the maps that exams are compared with.
        manifest: New exams.
        progress: Shows which input configuration is explained.

    Returns:
        `marked`, which says that the row is about one patient, `patient_id, exam_id, tracer, inputs, phase`, then
        `segment_1` to `_17` and `outside` in log odds, `residual` and `bound`.

    Raises:
        ExperimentError: Captum is not installed, or the run was not explained yet.
        CohortError: The manifest is unusable, or has a tracer without a reference map.
    """
    description = run.description
    settings = description.settings
    references = {
        name: read_reference_maps(run.paths.reference_maps(name), description.hash) for name in settings.cohort.inputs
    }
    cohort = load_cohort(manifest, size=settings.images.size, labelled=False)
    tables = []
    with shown(progress, "explaining", len(references)), single_threaded():
        for done, (name, known) in enumerate(references.items()):
            progress.advance(done, name)
            networks = [one for one, _ in final_networks(run.paths, name, settings)]
            here = {"stress": cohort.maps.has_stress, "rest": cohort.maps.has_rest}
            rows = np.flatnonzero(np.logical_and.reduce([here[phase] for phase in PHASES_OF[name]]))
            unknown = {TRACERS[number] for number in set(cohort.maps.tracer[rows].tolist()) - set(known)}
            if unknown:
                raise CohortError(
                    f"the run keeps no reference map of {', '.join(sorted(unknown))}: it had fewer than ten normal "
                    "exams of it; leave those rows out"
                )
            maps = with_channels(cohort.maps, networks[0].architecture.image_channels)
            found = explain_exams(networks, maps, rows, known, seed=None, device=torch.device("cpu"))
            tables.append(pd.DataFrame([attribution_columns(one) for one in found]).assign(inputs=name))
    table = pd.concat(tables, ignore_index=True)
    about = cohort.exams.loc[table["row"], ["patient_id", "exam_id", "tracer"]].reset_index(drop=True)
    about.insert(0, "marked", _MARK)
    return pd.concat([about, table[["inputs"]], table.drop(columns=["inputs", "network", "row"])], axis=1)
