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
    verb.add_argument("--seed", type=int, default=0, help="of the simulation (default: 0)")
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
        "--pilot", action="store_true", help="time a few trainings, for up to two minutes, to forecast the run"
    )
    verb.add_argument("--workers", type=int, metavar="N", help="cells at a time (default: what this machine runs)")
    file_argument(verb, "--cluster", metavar="FILE", help="a Ray cluster file: hours and price on its node types")


def _runner(verb: argparse.ArgumentParser, default: str = "ray") -> None:
    verb.add_argument(
        "--runner",
        choices=("ray", "inline"),
        default=default,
        help=f"Ray Tune, or this process alone (default: {default})",
    )
    verb.add_argument("--address", help="a running Ray cluster (default: Ray on this machine)")
    verb.add_argument(
        "--progress",
        choices=("none", "auto", "bar", "lines", "json"),
        default="auto",
        help="shown on standard error (default: a bar on a terminal, plain lines elsewhere)",
    )


def _notify(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--notify",
        metavar="COMMAND",
        help="a shell command to run at the end; POLARMAP_OUTCOME and others tell it how the run ended",
    )


def _run(verb: argparse.ArgumentParser) -> None:
    _experiment(verb)
    _runner(verb)
    _notify(verb)
    verb.add_argument("--open-test", action="store_true", help="judge the frozen final networks on the test partition")
    verb.add_argument("--retry-failed", action="store_true", help="do failed cells again")
    folder_argument(verb, "--tensorboard", type=Path, metavar="DIR", help="also write TensorBoard's event files there")


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
        verb, "--manifest", type=Path, metavar="FILE", help="with --patients: the cohort's manifest, if it was moved"
    )
    verb.add_argument(
        "--incomplete", action="store_true", help="where cells are missing, average over the repeats that are whole"
    )


def _status(verb: argparse.ArgumentParser) -> None:
    folder_argument(verb, "run", type=Path, metavar="RUN", help="a run directory")
    verb.add_argument("--json", action="store_true", help="one line of JSON")
    verb.add_argument("--watch", action="store_true", help="print again every two seconds until the run ends")


def _export_optuna(verb: argparse.ArgumentParser) -> None:
    folder_argument(verb, "run", type=Path, metavar="RUN", help="a run directory")
    file_argument(verb, "file", metavar="FILE", help="a new Optuna journal file: candidates.journal")


def _export(verb: argparse.ArgumentParser) -> None:
    folder_argument(verb, "run", metavar="RUN", help="a run directory, or s3://…, with final networks")
    folder_argument(verb, "folder", type=Path, metavar="DIR", help="a new or empty folder")
    verb.add_argument(
        "--format", choices=_EXPORT_FORMATS, required=True, help="what the folder holds; mlflow: the finished run"
    )
    verb.add_argument("--inputs", choices=("stress", "rest", "dual"), help="needed where the run has several")
    verb.add_argument(
        "--pixels",
        choices=("uint8", "uint16", "float32"),
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
    verb.add_argument("--margin", type=float, help="of --noninferiority, in AUC (default: 0.05)")
    verb.add_argument("--prevalence", type=float, help="give predictive values at this prevalence")
    verb.add_argument("--subgroup", action="append", metavar="COLUMN", help="report its values apart; repeatable")
    file_argument(verb, "--json", metavar="FILE", help="also write the summary as JSON")
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
    file_argument(verb, "--out", metavar="FILE", help="also write the predictions into a new .csv or .parquet file")
    _format(verb)
    _full(verb)


def _explain(verb: argparse.ArgumentParser) -> None:
    folder_argument(verb, "run", metavar="RUN", help="a run directory, or s3://…")
    verb.add_argument(
        "--cells",
        action="store_true",
        help="refit the networks of the cross-validation, and explain them on the exams they were judged on",
    )
    file_argument(verb, "--manifest", metavar="FILE", help="the cohort's manifest, if it was moved")
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
    file_argument(verb, "--manifest", metavar="FILE", help="the cohort's manifest, if it was moved")
    _runner(verb, "inline")


def _demo(verb: argparse.ArgumentParser) -> None:
    folder_argument(verb, "folder", nargs="?", type=Path, default=Path("demo"), metavar="DIR", help="default: demo")
    _runner(verb)


def _cluster(verb: argparse.ArgumentParser) -> None:
    actions = verb.add_subparsers(title="actions", required=True, metavar="ACTION")
    check = actions.add_parser("check", help="find what is wrong, unsafe or unbounded in it, and the most it can cost")
    file_argument(check, "file", metavar="FILE", help="a Ray cluster file (YAML)")
    check.add_argument("--format", choices=("rich", "json"), default="rich", help="default: rich")


VERBS: Final[tuple[tuple[str, Callable[[argparse.ArgumentParser], None], tuple[str, str], str], ...]] = (
    ("init", _init, ("sources", "init"), "write a commented experiment file"),
    ("schema", _schema, ("sources", "schema"), "print the JSON Schema of experiment files, for editors"),
    ("synth", _synth, ("sources", "synth"), "simulate a cohort with two tracers, and write it with its truth"),
    ("import", add_sources, ("sources", "import_spectf"), "turn what a clinic has into a manifest and images"),
    ("merge", add_merge, ("imports", "merge"), "join several imports into one cohort, with a site column"),
    ("check", _check, ("checks", "check"), "find every problem of experiment file, cohort and folds at once"),
    ("plan", _plan, ("checks", "plan"), "show folds, work to do and the interval widths to expect"),
    ("run", _run, ("experiments", "run"), "search, train, predict and report; run it again to resume"),
    ("permute", _permute, ("experiments", "permute"), "repeat the whole pipeline under permuted patient labels"),
    ("instability", _instability, ("experiments", "instability"), "train on bootstrap samples, compare predictions"),
    ("status", _status, ("status", "status"), "show progress, rates and failures of a run, from any terminal"),
    ("report", _report, ("reports", "report"), "print tables and draw figures of a run, from its ledger alone"),
    ("compare", _compare, ("reports", "compare"), "compare two experiments with one fold plan, paired"),
    ("evaluate", _evaluate, ("reports", "evaluate"), "compute the same statistics for predictions made elsewhere"),
    ("export-optuna", _export_optuna, ("exports", "export_optuna"), "write a run's searches for optuna-dashboard"),
    ("export", _export, ("exports", "export"), "write a final model for other programs, with its model card"),
    ("predict", _predict, ("predictions", "predict"), "apply the final networks to new exams"),
    ("validate", _validate, ("predictions", "validate"), "judge the frozen networks on exams of other centres"),
    ("explain", _explain, ("explanations", "explain"), "show where the networks look, by segment (needs captum)"),
    ("rerun-cell", _rerun_cell, ("reruns", "rerun_cell"), "do one cell of a run again, and compare it with the ledger"),
    ("cluster", _cluster, ("clusters", "check"), "check a Ray cluster file: what is wrong or unsafe, and its price"),
    ("demo", _demo, ("experiments", "demo"), "simulate a cohort, run a whole experiment on it, print its report"),
)
