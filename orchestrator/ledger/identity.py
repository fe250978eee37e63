"""An experiment's identity: everything that decides its numbers, as named facts, hashed; it guards resuming."""

import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version

from orchestrator.experiment.settings import Experiment
from orchestrator.hashing import digest
from search_spaces.space import SearchSpace, describe

_LIBRARIES = ("torch", "torchvision", "optuna", "numpy", "scipy", "scikit-learn", "pillow", "polarmap-tune")
_DECIDING = ("cohort", "images", "network", "folds", "search", "training", "decision", "statistics")
"""The sections that decide the numbers; the name, the storage and the resources do not."""

Facts = dict[str, str]
SAMPLED = "samples"
"""A fact of runs whose cells are bootstrap samples, and of no others."""


def identity(
    experiment: Experiment, space: SearchSpace, *, data: str, used: str, plan: str, weights: str, device: str
) -> Facts:
    """Every fact that decides the numbers, by dotted name.

    Args:
        experiment: The settings.
        space: The search space they name, which may live in a file.
        data: The cohort's digest.
        used: Digest of which exams each input configuration uses, and of the subgroup columns.
        plan: The plan's digest.
        weights: SHA-256 of the pretrained weights' file, or `random`.
        device: `cpu` or `cuda`.
    """
    facts = facts_of_settings(experiment)
    facts |= {f"search.space.{name}": _text(value) for name, value in describe(space).items()}
    facts |= {"network.weights": weights, "data": data, "data.used": used, "plan": plan, "device": device}
    # A patch release of Python changes no number here; another minor version may.
    facts["versions.python"] = ".".join(platform.python_version_tuple()[:2])
    return facts | {f"versions.{library}": version(library) for library in _LIBRARIES}


def facts_of_settings(experiment: Experiment) -> Facts:
    """The facts that are settings themselves.

    A path is not among them: what lies there decides the numbers, and is hashed.
    """
    settings = asdict(experiment)
    facts = {f"{section}.{key}": _text(value) for section in _DECIDING for key, value in settings[section].items()}
    return {name: text for name, text in facts.items() if name not in ("cohort.manifest", "network.weights")}


def _text(value: object) -> str:
    # Sorted, so that the order in the experiment file does not change the hash.
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={value[key]}" for key in sorted(value))
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def experiment_hash(facts: Facts) -> str:
    """The experiment's hash."""
    return digest(facts)


def differences(stored: Mapping[str, object], current: Facts) -> list[str]:
    """The facts that differ, one text each, values shortened."""
    keys = sorted(set(stored) | set(current))
    return [
        f"{key} ({_short(stored.get(key))} -> {_short(current.get(key))})"
        for key in keys
        if stored.get(key) != current.get(key)
    ]


def _short(value: object) -> str:
    text = "absent" if value is None else str(value)
    # Digests are cut: twelve digits tell two of them apart.
    return text if len(text) <= 24 else f"{text[:12]}…"
