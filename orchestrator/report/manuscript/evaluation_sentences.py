"""Sentences of a methods paragraph on search, evaluation and statistics; each follows from a setting or a fact."""

import json
from collections.abc import Collection
from pathlib import PurePosixPath
from typing import Final

from orchestrator.experiment.settings import Experiment
from orchestrator.ledger.description import RunDescription
from orchestrator.report.manuscript.wording import listed, number_word, times_word
from search_spaces.stored import PlainParameter

_PRUNING_WARM_UP: Final = 5
"""Of `orchestrator.cells.study`, which is not imported here because torch would come with it."""


def evaluation_sentences(
    description: RunDescription, columns: Collection[str], *, opened: bool, tested: bool
) -> dict[str, list[str]]:
    """Sentences by what they are about, in the paragraph's order; for the arguments see `methods`."""
    settings = description.settings
    return {
        "folds": _on_folds(description, columns),
        "search": _on_search(description),
        "members": _on_members(settings),
        "decision": _on_decision(settings),
        "test": _on_test(description, opened=opened, tested=tested),
        "measures": _on_measures(settings, tested=tested),
        "comparisons": _on_comparisons(settings, tested=tested),
        "subgroups": _on_subgroups(settings, columns),
        "clusters": _on_clusters(settings),
        "updating": ["No model was changed after it was evaluated."],
        "predictions": _on_predictions(description),
        "software": _on_software(description),
    }


def _on_folds(description: RunDescription, columns: Collection[str]) -> list[str]:
    """The cross-validation."""
    folds = description.settings.folds
    # The default strata that a manifest lacks were dropped when the plan was drawn.
    strata = [name for name in folds.stratify if name in ("tracer", "label") or name in columns]
    seeded = f"(seed {folds.seed}, plan {description.plan[:12]})"
    if folds.by == "site":
        how = f"each of {folds.folds} sites was held out once {seeded}; inner parts were stratified by {listed(strata)}"
    else:
        how = (
            f"the development patients were divided into {folds.folds} folds, {times_word(folds.repeats)}, by patient "
            f"and stratified by {listed(strata)} {seeded}"
        )
    share = (
        f"Each cell used {folds.training_share:.6g} of its training patients, for a point of a learning curve."
        if folds.training_share < 1
        else ""
    )
    held_out = "each held-out exam was predicted once a repeat; no patient was on two sides of a split."
    if description.settings.search.scheme == "flat":
        return [
            f"Performance was estimated by cross-validation with a flat search (bias-reduced): {how}.",
            f"No choice for a fold depended on its patients, and {held_out}",
        ]
    return [
        f"Performance was estimated by nested cross-validation [@varma2006]: {how}.",
        share,
        f"All choices were made from the other folds alone, and {held_out}",
    ]


def _on_search(description: RunDescription) -> list[str]:
    """The search inside a cell."""
    search = description.settings.search
    inner = (
        "one hold-out of 20 % of the patients"
        if search.inner_folds == 1
        else f"{search.inner_folds} inner folds by patient"
    )
    objective = {
        "balanced_log_loss": "the class-balanced log loss",
        "auc": "the mean AUC over tracers",
    }
    drawn = listed([_drawn(one) for one in description.space])
    pruned = (
        f"A candidate that after {number_word(_PRUNING_WARM_UP)} epochs or more did worse than the median of earlier "
        "ones at the same epoch was stopped."
        if search.prune
        else "No candidate was stopped for doing worse than others."
    )
    raced = (
        "Candidates raced: all of them were trained on the first inner fold, the better half on the second and the "
        "better quarter on the third. The sampler learned from the first fold alone."
        if search.races
        else "Each candidate was trained on every inner fold."
    )
    # A space of the authors' own is named by its file alone, not by where it lies.
    name = PurePosixPath(search.space).stem.replace("_", " ")
    if search.scheme == "flat":
        return [
            f"{search.candidates} candidates of the search space “{name}” ({drawn or 'nothing varied'}) were drawn at "
            "random beforehand, the same for all folds. Each was trained once for every fold, without its patients "
            "and those of the next fold. For each fold candidates were chosen by "
            f"{objective[search.objective]} on the two folds next to it, scored by networks that had not been trained "
            "on its patients. BBC-CV [@tsamardinos2018] is given beside the estimate; whether an AUC is above chance "
            "was judged by label permutation only.",
        ]
    return [
        f"In each fold {search.candidates} candidates of the search space “{name}” ({drawn or 'nothing varied'}) were "
        f"tried with Optuna's [@akiba2019] tree-structured Parzen estimator [@bergstra2011], each scored on {inner} "
        f"by {objective[search.objective]}.",
        raced if search.inner_folds > 1 else "",
        pruned,
    ]


def _on_members(settings: Experiment) -> list[str]:
    """What one model is."""
    members, winners = settings.training.members, settings.search.winners
    if members == 1:
        return ["The best candidate was refitted on all training patients of the fold."]
    kept = "the best candidate" if winners == 1 else f"the best {number_word(winners)} candidates in turn"
    return [
        f"The model was the mean score of {number_word(members)} networks, refits of {kept} on all training patients "
        "of the fold, each with a seed of its own."
    ]


def _on_decision(settings: Experiment) -> list[str]:
    """When an exam is called positive."""
    threshold = {
        "fixed": "An exam was called positive where its class-balanced probability was 0.5 or more.",
        "balanced_accuracy": "An exam was called positive from the threshold on that had the highest balanced accuracy "
        "in the inner out-of-fold scores of its tracer.",
    }
    return [threshold[settings.decision.threshold], "Thresholds were fixed before any held-out exam was predicted."]


def _on_test(description: RunDescription, *, opened: bool, tested: bool) -> list[str]:
    """What became of the test partition."""
    if not description.final:
        return ["No final network was trained."]
    final = "The final networks were trained by the same procedure on all development patients."
    if not tested:
        return [final, "There was no test partition."]
    if not opened:
        return [final, "The test partition has not been opened."]
    return [final, "Networks, thresholds and statistics were frozen by hash before the test partition was opened."]


def _on_measures(settings: Experiment, *, tested: bool) -> list[str]:
    """Estimates and their intervals."""
    statistics = settings.statistics
    level = f"{statistics.level:.6g}"
    by_site = settings.folds.by == "site"
    validated = (
        "AUCs of the sites were combined on the logit scale by a random-effects meta-analysis [@debray2017]."
        if by_site
        else "The cross-validated AUC is the mean over folds; its interval is for the mean over the networks that were "
        "trained. It is from the variance over patients of the pairs held out together [@obuchowski1997], times a "
        "factor chosen by simulation. The factor is there because each patient also trains the networks of other folds."
    )
    test = (
        " On the test partition the interval is DeLong's [@delong1988] on the logit scale [@perme2019], or Newcombe's "
        "method 5 [@newcombe2006] below 15 patients of a class."
        if tested
        else ""
    )
    prevalence = (
        ""
        if statistics.prevalence is None
        else f" Predictive values are given at a prevalence of {statistics.prevalence:.6g}."
    )
    benefit = (
        " Net benefit [@vickers2006] is given at several thresholds." if settings.decision.calibration != "none" else ""
    )
    return [
        f"Intervals are at the level {level}, clustered by patient. {validated}{test}",
        "Where a class has fewer than ten patients, numbers of correct decisions are given in place of an AUC.",
        "Sensitivity, specificity and balanced accuracy have Wilson intervals [@wilson1927], joined by square-and-add "
        f"[@zou2008]; sensitivity is given at a specificity of {statistics.specificity:.6g}, too. Calibration is "
        f"described by its intercept, its slope and the Brier score [@vancalster2019].{benefit}{prevalence}",
    ]


def _on_comparisons(settings: Experiment, *, tested: bool) -> list[str]:
    """Hypotheses and comparisons."""
    statistics = settings.statistics
    baseline = {
        "segments": "Each network was compared, in the same folds, with a logistic regression on the means of the 17 "
        "segments [@cerqueira2002] of the same maps.",
        "none": "The networks were compared with no other model.",
    }
    question = statistics.noninferiority
    primary = "No primary hypothesis was declared."
    if question is not None:
        first, second = question.sides
        primary = (
            f"The primary hypothesis of each tracer, declared before any training, was that {first} input is not "
            f"inferior to {second} input by a margin of {question.margin:.6g} of AUC."
        )
    pairs = listed(list(statistics.comparisons)) if statistics.comparisons else "all pairs of input configurations"
    by_site = settings.folds.by == "site"
    several = len(settings.cohort.inputs) > 1 and settings.cohort.patients == "common" and not by_site
    compared = "in cross-validation Student's t with the same variance"
    compared += "; on the test partition both AUCs' intervals, combined with DeLong's correlation" if tested else ""
    secondary = (
        f"Secondary comparisons were {pairs}, paired by exam and fold ({compared}), with Holm's correction "
        f"[@holm1979]; differences of AUC within ±{statistics.equivalence:.6g} count as practically equivalent "
        "[@corani2015]."
    )
    return [primary, secondary if several else "", baseline[statistics.baseline]]


def _on_subgroups(settings: Experiment, columns: Collection[str]) -> list[str]:
    """Which groups are reported apart."""
    subgroups = [name for name in settings.statistics.subgroups if name in columns]
    if not subgroups:
        return ["No subgroup was reported apart."]
    return [f"Performance is reported separately by {listed(subgroups)}, with the differences between groups."]


def _on_clusters(settings: Experiment) -> list[str]:
    """Differences between sites."""
    if settings.folds.by == "site":
        return ["Differences between sites are given as tau², I² and the AUC to expect at a new site."]
    return ["Folds were drawn by patient, not by site; differences between sites were not quantified."]


def _on_predictions(description: RunDescription) -> list[str]:
    """What is kept for new exams."""
    if not description.final:
        return ["No network was kept for new exams."]
    return [
        "The final networks are kept with their thresholds and calibration (safetensors and JSON); `polarmap predict` "
        "applies them to new exams."
    ]


def _on_software(description: RunDescription) -> list[str]:
    """Software, versions, device."""
    facts = description.facts
    named = {"polarmap-tune": "polarmap", "torch": "PyTorch", "optuna": "Optuna", "scikit-learn": "scikit-learn"}
    versions = [f"{name} {facts[f'versions.{key}']}" for key, name in named.items() if f"versions.{key}" in facts]
    device = {"cpu": "a CPU", "cuda": "a GPU"}.get(facts.get("device", ""), "a device that was not recorded")
    return [
        f"The software was {listed(versions)}, on {device}; the experiment's hash is {description.hash[:12]}.",
        "polarmap is free software (Apache-2.0).",
    ]


def _drawn(parameter: PlainParameter) -> str:
    """A searched parameter with its range, such as `head learning rate 0.0001 to 0.03 (logarithmic)`."""
    attributes = json.loads(parameter.distribution)["attributes"]
    name = parameter.name.replace("_", " ")
    if "choices" in attributes:
        return f"{name} one of {', '.join(map(str, attributes['choices']))}"
    scale = " (logarithmic)" if attributes.get("log") else ""
    return f"{name} {attributes['low']:.6g} to {attributes['high']:.6g}{scale}"
