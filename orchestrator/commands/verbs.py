"""Every verb with its arguments, and where the function lies that does it.

Only names of modules stand here: a verb's module is imported when it is called, so that `--help` waits for nothing.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Final

from orchestrator.commands.import_arguments import add_merge, add_pseudonymise, add_sources
from orchestrator.commands.path_arguments import file_argument, folder_argument

_EXPORT_FORMATS: Final = ("torch", "onnx", "hub", "bundle", "mlflow")
_FORMATS: Final = ("rich", "markdown", "csv", "latex", "json", "html")
_CHECKLISTS: Final = ("tripod-ai", "claim")

_Add = Callable[[argparse.ArgumentParser], None]


def _init(verb: argparse.ArgumentParser) -> None:
    file_argument(verb, "file", nargs="?", default=Path("experiment.toml"), help="default: experiment.toml")


def _schema(verb: argparse.ArgumentParser) -> None:
    """No arguments."""


def _synth(verb: argparse.ArgumentParser) -> None:
    folder_argument(verb, "folder", nargs="?", type=Path, metavar="DIR", help="a new or empty folder")
    verb.add_argument("--patients", type=int, metavar="N", help="default: a cohort like the reference study's")
    verb.add_argument(
        "--tracer-mix",
        metavar="TRACER=SHARE,…",
        help="shares of patients studied with one tracer alone, for example Tc-99m=0.3,Tl-201=0.6; the rest had both",
    )
    verb.add_argument("--seed", type=int, default=0)
    verb.add_argument("--size", type=int, default=64, metavar="PX", help="pixels of a side (default: 64)")
    verb.add_argument(
        "--format", choices=("png", "npy", "colour"), default="png", help="16-bit counts (png, npy) or screenshots"
    )
    file_argument(verb, "--preview", metavar="FILE.png", help="draw a panel of patients with their truth")
    add_pseudonymise(verb)


def _experiment(verb: argparse.ArgumentParser) -> None:
    file_argument(verb, "experiment", help="the experiment file (TOML)")
    verb.add_argument(
        "--set", dest="overrides", action="append", default=[], metavar="a.b=c", help="override one setting; repeatable"
    )


def _experiment_or_json(verb: argparse.ArgumentParser) -> None:
    _experiment(verb)
    verb.add_argument("--json", action="store_true", help="one line of JSON, problems included")


def _check(verb: argparse.ArgumentParser) -> None:
    _experiment_or_json(verb)
    file_argument(verb, "--html", metavar="FILE", help="write a page on the cohort, without patients' ids and pixels")
    file_argument(
        verb,
        "--patients",
        metavar="FILE.html",
        help="write maps of single patients into a new file: identifying, readable by its user alone",
    )


def _plan(verb: argparse.ArgumentParser) -> None:
    _experiment_or_json(verb)
    verb.add_argument(
        "--pilot", action="store_true", help="train a few candidates, up to two minutes, to tell the time"
    )
    verb.add_argument("--workers", type=int, metavar="N", help="cells side by side (default: what this machine runs)")
    file_argument(verb, "--cluster", metavar="FILE", help="a Ray cluster file: hours and price on its node types")


def _runner(verb: argparse.ArgumentParser, default: str = "ray") -> None:
    verb.add_argument("--runner", choices=("ray", "inline"), default=default, help=f"default: {default}")
    verb.add_argument("--address", help="a running Ray cluster; default: Ray on this machine")
    verb.add_argument(
        "--progress",
        choices=("none", "auto", "bar", "lines", "json"),
        default="auto",
        help="on standard error; default: a bar on a terminal, plain lines elsewhere",
    )


def _notify(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--notify",
        metavar="COMMAND",
        help="a shell command at the end; POLARMAP_OUTCOME and others tell it how it ended",
    )


def _run(verb: argparse.ArgumentParser) -> None:
    _experiment(verb)
    _runner(verb)
    _notify(verb)
    verb.add_argument("--open-test", action="store_true", help="judge the frozen final networks on the test partition")
    verb.add_argument("--retry-failed", action="store_true", help="do failed cells again")
    folder_argument(verb, "--tensorboard", type=Path, metavar="DIR", help="write TensorBoard's event files there, too")


def _permute(verb: argparse.ArgumentParser) -> None:
    _experiment(verb)
    _runner(verb)
    _notify(verb)
    verb.add_argument("--times", type=int, required=True, metavar="N", help="permutations; 99 or more for a p of .01")


def _instability(verb: argparse.ArgumentParser) -> None:
    _experiment(verb)
    _runner(verb)
    _notify(verb)
    verb.add_argument(
        "--samples", type=int, required=True, metavar="N", help="bootstrap samples of patients, such as 200"
    )
    verb.add_argument("--retry-failed", action="store_true", help="do failed samples again")


def _full(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--full", action="store_true", help="every method, subgroup and sensitivity analysis (rich only)")


def _format(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--format", choices=_FORMATS, default="rich", help="default: rich")


def _report(verb: argparse.ArgumentParser) -> None:
    folder_argument(verb, "run", metavar="RUN", help="a run directory, or s3://…")
    verb.add_argument(
        "--format", choices=(*_FORMATS, "docx"), default="rich", help="default: rich; docx for a checklist alone"
    )
    _full(verb)
    verb.add_argument("--checklist", choices=_CHECKLISTS, help="a reporting checklist instead, answered from the run")
    file_argument(verb, "--out", metavar="FILE", help="write the checklist into a file")
    folder_argument(
        verb, "--figures", type=Path, metavar="DIR", help="write every figure as SVG, PDF and CSV into a new folder"
    )
    file_argument(
        verb, "--patients", type=Path, metavar="FILE", help="a new file with the hardest exams' maps: identifying"
    )
    file_argument(
        verb, "--manifest", type=Path, metavar="FILE", help="for --patients: the cohort, where it was moved since"
    )
    verb.add_argument(
        "--incomplete", action="store_true", help="where cells are missing, average over the repeats that are whole"
    )


def _status(verb: argparse.ArgumentParser) -> None:
    folder_argument(verb, "run", type=Path, metavar="RUN", help="a run directory")
    verb.add_argument("--json", action="store_true", help="one line of JSON")
    verb.add_argument("--watch", action="store_true", help="again every two seconds until the run ends")


def _export_optuna(verb: argparse.ArgumentParser) -> None:
    folder_argument(verb, "run", type=Path, metavar="RUN", help="a run directory")
    file_argument(verb, "file", metavar="FILE", help="a new Optuna journal file: candidates.journal")


def _export(verb: argparse.ArgumentParser) -> None:
    folder_argument(verb, "run", metavar="RUN", help="a run directory, or s3://…, with final networks")
    folder_argument(verb, "folder", type=Path, metavar="DIR", help="a new or empty folder")
    verb.add_argument(
        "--format", choices=_EXPORT_FORMATS, required=True, help="what the folder holds; mlflow: the finished run"
    )
    verb.add_argument("--inputs", choices=("stress", "rest", "dual"), help="may be left out where the run has one")
    verb.add_argument(
        "--pixels",
        choices=("uint8", "uint16", "float32"),
        default="uint16",
        help="of torch and onnx: what the maps are made of (default: uint16, 16-bit counts)",
    )


def _compare(verb: argparse.ArgumentParser) -> None:
    folder_argument(verb, "first", metavar="RUN", help="a run directory, or s3://…")
    folder_argument(verb, "second", metavar="RUN", help="another one with the same fold plan")
    _format(verb)


def _evaluate(verb: argparse.ArgumentParser) -> None:
    file_argument(verb, "predictions", metavar="PREDICTIONS", help="a .csv or .parquet file, one row a prediction")
    verb.add_argument("--level", type=float, default=0.95, help="confidence level (default: 0.95)")
    verb.add_argument("--noninferiority", metavar="FIRST-SECOND", help="the primary hypothesis, such as stress-dual")
    verb.add_argument("--margin", type=float, default=0.05, help="its margin of AUC (default: 0.05)")
    verb.add_argument("--prevalence", type=float, help="give predictive values at this prevalence")
    verb.add_argument("--subgroup", action="append", metavar="COLUMN", help="report its values apart; may be repeated")
    file_argument(verb, "--json", metavar="FILE", help="write the summary as JSON, too")
    _format(verb)
    _full(verb)


def _predict(verb: argparse.ArgumentParser) -> None:
    file_argument(
        verb,
        "sources",
        nargs="+",
        type=str,
        metavar="RUN… MANIFEST",
        help="runs or exported folders (several make an ensemble), then the new exams; labels are not read",
    )
    file_argument(verb, "--out", metavar="FILE", help="a new .csv or .parquet file")
    file_argument(verb, "--stress", metavar="IMAGE", help="one exam instead of a manifest: its stress map")
    file_argument(verb, "--rest", metavar="IMAGE", help="its rest map")
    verb.add_argument("--tracer", help="its tracer")
    file_argument(
        verb,
        "--explain",
        metavar="FILE",
        help="another new file, identifying: where each exam's score comes from, by segment (one run; needs captum)",
    )


def _validate(verb: argparse.ArgumentParser) -> None:
    folder_argument(verb, "run", metavar="RUN", help="a run directory, or s3://…, with final networks")
    file_argument(verb, "manifests", nargs="+", metavar="MANIFEST", help="labelled exams, one file a centre")
    file_argument(verb, "--out", metavar="FILE", help="write the predictions into a new .csv or .parquet file, too")
    _format(verb)
    _full(verb)


def _explain(verb: argparse.ArgumentParser) -> None:
    folder_argument(verb, "run", metavar="RUN", help="a run directory, or s3://…")
    verb.add_argument(
        "--cells",
        action="store_true",
        help="refit the networks of the cross-validation, and explain them on the exams they were judged on",
    )
    file_argument(verb, "--manifest", metavar="FILE", help="the run's cohort, if it is not where it was")
    folder_argument(
        verb,
        "--permuted",
        metavar="RUN",
        help="a run of `polarmap permute`, explained to compare with (implies --cells there)",
    )
    _runner(verb)


def _rerun_cell(verb: argparse.ArgumentParser) -> None:
    folder_argument(verb, "run", metavar="RUN", help="a run directory, or s3://…; it is only read")
    verb.add_argument("cell", metavar="CELL", help="a cell's name, as `status` and run.log have it: stress-r00-f0")
    folder_argument(verb, "--out", type=Path, metavar="DIR", help="a new folder (default: NAME-CELL, here)")
    file_argument(verb, "--manifest", metavar="FILE", help="the run's cohort, if it is not where it was")
    _runner(verb, "inline")


def _demo(verb: argparse.ArgumentParser) -> None:
    folder_argument(verb, "folder", nargs="?", type=Path, default=Path("demo"), metavar="DIR", help="default: demo")
    _runner(verb)


def _cluster(verb: argparse.ArgumentParser) -> None:
    actions = verb.add_subparsers(title="actions", required=True, metavar="ACTION")
    check = actions.add_parser("check", help="what is wrong, unsafe or unbounded in it, and its price bound")
    file_argument(check, "file", metavar="FILE", help="a Ray cluster file (YAML)")
    check.add_argument("--format", choices=("rich", "json"), default="rich", help="default: rich")


VERBS: Final[tuple[tuple[str, _Add, tuple[str, str], str], ...]] = (
    ("init", _init, ("sources", "init"), "write a commented experiment.toml"),
    ("schema", _schema, ("sources", "schema"), "print the JSON Schema of experiment files, for editors"),
    ("synth", _synth, ("sources", "synth"), "write a synthetic two-tracer cohort with its truth"),
    ("import", add_sources, ("sources", "import_spectf"), "turn what a clinic has into a manifest and images"),
    ("merge", add_merge, ("imports", "merge"), "several imports into one cohort, with a site column"),
    ("check", _check, ("checks", "check"), "every problem of file, cohort, folds and freeze depths at once"),
    ("plan", _plan, ("plans", "plan"), "folds, work to do and the interval widths to expect"),
    ("run", _run, ("experiments", "run"), "the job: search, train, predict, report; run again to resume"),
    ("permute", _permute, ("experiments", "permute"), "the whole pipeline again under permuted patient labels"),
    (
        "instability",
        _instability,
        ("experiments", "instability"),
        "how predictions move with bootstrap samples of patients",
    ),
    ("status", _status, ("status", "status"), "progress, rates and failures of a run, from any terminal"),
    ("report", _report, ("reports", "report"), "tables and figures of a run, from its ledger alone"),
    ("compare", _compare, ("reports", "compare"), "two experiments with one fold plan, paired"),
    ("evaluate", _evaluate, ("reports", "evaluate"), "the same statistics for predictions made elsewhere"),
    ("export-optuna", _export_optuna, ("exports", "export_optuna"), "every search of a run, for optuna-dashboard"),
    ("export", _export, ("exports", "export"), "a final model for other programs, with its model card"),
    ("predict", _predict, ("predictions", "predict"), "the final networks on new exams"),
    ("validate", _validate, ("predictions", "validate"), "the frozen networks on labelled exams of other centres"),
    (
        "explain",
        _explain,
        ("explanations", "explain"),
        "where the networks look: attributions by segment (needs captum)",
    ),
    ("rerun-cell", _rerun_cell, ("reruns", "rerun_cell"), "one cell of a run again, alone, compared with the ledger"),
    ("cluster", _cluster, ("clusters", "check"), "what is wrong or unsafe in a Ray cluster file, and its price"),
    ("demo", _demo, ("demo", "demo"), "a synthetic cohort, a whole experiment, its report"),
)
