"""Honest evaluation of networks that read stress/rest SPECT myocardial perfusion polar maps.

    import polarmap

    polarmap.check("experiment.toml")               # every problem of file, cohort and folds at once
    polarmap.plan("experiment.toml")                # folds, work, the interval widths to expect
    run = polarmap.run("experiment.toml", open_test=True)
    run.summary, run.predictions, run.candidates    # pandas data frames
    polarmap.open_run("runs/my-experiment").report()
    polarmap.evaluate(frame)                        # the same statistics for anybody's predictions

Every verb of the command line has a function or a method here, with the same result. Bad input raises a
`PolarmapError`, whose `problems` are the lines that the command prints. Importing this package imports neither torch,
Ray nor pandas: a name is loaded when it is first used (PEP 562).
"""

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mpi_model.errors import PolarmapError
    from orchestrator.clusters.lint.checking import check_cluster_file
    from orchestrator.driver.cohort_check import CohortCheck
    from orchestrator.driver.run_plan import RunPlan
    from polarmap.experiments import check, demo, instability, permute, plan, run, schema, template
    from polarmap.imports import ImportOptions, import_folder, import_pages, import_segments, import_short_axis
    from polarmap.models import export, predict
    from polarmap.reports import Report, compare, evaluate, validate
    from polarmap.runs import Run, open_run
    from polarmap.sources import import_spectf, merge, synth

__all__ = [
    "CohortCheck",
    "ImportOptions",
    "PolarmapError",
    "Report",
    "Run",
    "RunPlan",
    "check",
    "check_cluster_file",
    "compare",
    "demo",
    "evaluate",
    "export",
    "import_folder",
    "import_pages",
    "import_segments",
    "import_short_axis",
    "import_spectf",
    "instability",
    "merge",
    "open_run",
    "permute",
    "plan",
    "predict",
    "run",
    "schema",
    "synth",
    "template",
    "validate",
]

_MODULE_OF: Final = {
    "CohortCheck": "orchestrator.driver.cohort_check",
    "ImportOptions": "polarmap.imports",
    "PolarmapError": "mpi_model.errors",
    "Report": "polarmap.reports",
    "Run": "polarmap.runs",
    "RunPlan": "orchestrator.driver.run_plan",
    "check": "polarmap.experiments",
    "check_cluster_file": "orchestrator.clusters.lint.checking",
    "compare": "polarmap.reports",
    "demo": "polarmap.experiments",
    "evaluate": "polarmap.reports",
    "export": "polarmap.models",
    "import_folder": "polarmap.imports",
    "import_pages": "polarmap.imports",
    "import_segments": "polarmap.imports",
    "import_short_axis": "polarmap.imports",
    "import_spectf": "polarmap.sources",
    "instability": "polarmap.experiments",
    "merge": "polarmap.sources",
    "open_run": "polarmap.runs",
    "permute": "polarmap.experiments",
    "plan": "polarmap.experiments",
    "predict": "polarmap.models",
    "run": "polarmap.experiments",
    "schema": "polarmap.experiments",
    "synth": "polarmap.sources",
    "template": "polarmap.experiments",
    "validate": "polarmap.reports",
}


def __getattr__(name: str) -> object:
    """Load a public name when it is first used."""
    # Python asks here only for names that the module does not hold yet.
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(_MODULE_OF[name]), name)
    globals()[name] = found  # the next look-up does not come here
    return found


def __dir__() -> list[str]:
    return __all__
