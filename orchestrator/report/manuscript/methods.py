"""The methods paragraph of a manuscript, written from what a run has stored; CC0, to be pasted and completed.

Every sentence follows from settings and facts of the run's description; what a run cannot know (who was recruited,
scanners, ethics) is not guessed. A citation stands as `[@key]`, a key of `references.bib`.
"""

import json
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from mpi_model.stages import backbone
from orchestrator.experiment.settings import Experiment
from orchestrator.ledger.description import RunDescription
from orchestrator.report.manuscript.references import Reference, references
from search_spaces.stored import PlainParameter

_CITED: Final = re.compile(r"\[@(\w+)\]")
_INPUTS: Final = {"stress": "the stress map alone", "rest": "the rest map alone", "dual": "both maps (dual)"}
_FAMILIES: Final = {"resnet": "he2016", "vgg": "simonyan2015", "efficientnet": "tan2019"}
_HEADS: Final = {
    "tracer": "One encoder served both tracers, with a classification head for each tracer.",
    "shared": "One encoder and one classification head served both tracers.",
    "separate": "Each tracer had an encoder and a classification head of its own.",
}
_FUSION: Final = {
    "concatenate": "the features of stress and rest, from one encoder, were placed side by side",
    "difference": "the features of stress, from one encoder for both, were placed beside the difference stress − rest",
}
_PRUNING_WARM_UP: Final = 5
"""Of `orchestrator.cells.study`, which is not imported here because torch would come with it."""
_REFUSALS: Final = (
    "The software refuses images that cannot be read, and leaves out exams without a map that the input configuration "
    "needs; nothing is imputed. An image of poor quality is not recognised."
)
_EXTERNAL: Final = "This report holds no data of another centre."


@dataclass(frozen=True, slots=True, kw_only=True)
class Methods:
    """The paragraph by its parts."""

    sentences: tuple[tuple[str, str], ...]
    """What a part is about (such as `folds`), and its sentences, with citations as `[@key]`."""
    further: tuple[tuple[str, str], ...]
    """The same for what checklists ask for and a methods paragraph does not say."""

    @property
    def text(self) -> str:
        """The whole paragraph, with citations as `[@key]`, which pandoc reads."""
        return " ".join(text for _, text in self.sentences)

    @property
    def references(self) -> tuple[Reference, ...]:
        """The works cited, in the order in which they are."""
        known = references()
        return tuple(known[key] for key in dict.fromkeys(_CITED.findall(self.text)))

    def numbered(self, text: str) -> str:
        """A text with its citations as numbers of `references`."""
        places = {one.key: number for number, one in enumerate(self.references, start=1)}
        return _CITED.sub(lambda match: f"[{places[match[1]]}]", text)

    def of(self, about: str) -> str:
        """The sentences of one part, without citations; for a checklist."""
        return re.sub(r" ?\[@\w+\]", "", dict((*self.sentences, *self.further))[about])


def methods(description: RunDescription, columns: Collection[str], *, opened: bool, tested: bool) -> Methods:
    """Write the paragraph.

    Args:
        description: Of the run.
        columns: Of the manifest: default strata and subgroups that it lacks were not used.
        opened: Whether the test partition was opened.
        tested: Whether there is a test partition.
    """
    settings = description.settings
    parts: dict[str, Callable[[], list[str]]] = {
        "cohort": lambda: _cohort(settings),
        "missing": lambda: _missing(description),
        "images": lambda: _images(settings),
        "network": lambda: _network(description),
        "initialisation": lambda: _initialisation(description),
        "training": lambda: _training(settings),
        "imbalance": lambda: _imbalance(settings),
        "folds": lambda: _folds(description, columns),
        "search": lambda: _search(description),
        "members": lambda: _members(settings),
        "decision": lambda: _decision(settings),
        "test": lambda: _test(description, opened=opened, tested=tested),
        "measures": lambda: _measures(settings, tested=tested),
        "comparisons": lambda: _comparisons(settings),
        "subgroups": lambda: _subgroups(settings, columns),
        "clusters": lambda: _clusters(settings),
        "updating": lambda: ["No model was changed after it was evaluated."],
        "predictions": lambda: _predictions(description),
        "software": lambda: _software(description),
    }
    return Methods(
        sentences=tuple((about, " ".join(filter(None, write()))) for about, write in parts.items()),
        further=(("refusals", _REFUSALS), ("external", _EXTERNAL)),
    )


def _cohort(settings: Experiment) -> list[str]:
    cohort, endpoints = settings.cohort, settings.statistics.endpoints
    compared = _listed([_INPUTS[inputs] for inputs in cohort.inputs])
    several = len(cohort.inputs) > 1
    meaning = _listed([f"{meant} for {tracer}" for tracer, meant in endpoints.items()])
    which = {
        "all": "All exams of a patient were used.",
        "first": "Of each patient and tracer only the first exam by date was used.",
    }
    common = {
        "common": "Every input configuration was trained and judged on the same exams, those with every map that one "
        "of them needs.",
        "available": "Each input configuration was trained and judged on all exams with the maps that it needs itself, "
        "so the input configurations were not compared with each other.",
    }
    return [
        f"Polar maps of myocardial perfusion were read in {'these input configurations' if several else 'one way'}: "
        f"{compared}.",
        f"A positive label means {meaning}; results of the tracers were never pooled." if meaning else "",
        which[cohort.exams],
        common[cohort.patients],
    ]


def _missing(description: RunDescription) -> list[str]:
    told = [
        f"{one.count} {one.partition} exam{'s' if one.count > 1 else ''} ({one.reason})"
        for one in description.exclusions
    ]
    excluded = f"Exams were left out: {_listed(told)}." if told else "No exam was left out."
    return [
        excluded,
        "A map that was not acquired was never replaced; blank entries of a stratum were one of their own.",
    ]


def _images(settings: Experiment) -> list[str]:
    size = settings.images.size
    return [
        f"Each map was resampled to {size} × {size} pixels (area averaging to fewer pixels, linear interpolation to "
        "more); maps of 8 bits were divided by 255, maps of counts by their own maximum. Nothing was fitted across "
        "patients. One scan under two patients, or one patient in two partitions, is refused by the software."
    ]


def _network(description: RunDescription) -> list[str]:
    settings = description.settings
    network = settings.network
    cited = next((f" [@{key}]" for family, key in _FAMILIES.items() if network.backbone.startswith(family)), "")
    ended = network.encoder_stages
    part = (
        ""
        if ended == "all"
        else f", ended after the first {ended} of its {backbone(network.backbone).stage_count} stages"
    )
    sentences = [f"The encoder was {network.backbone}{cited}{part}.", _HEADS[network.heads]]
    if "dual" in settings.cohort.inputs:
        sentences.append(f"For dual input {_FUSION[network.fusion]}.")
    return sentences


def _initialisation(description: RunDescription) -> list[str]:
    weights = description.settings.network.weights
    if weights == "random":
        return ["The network started from random weights."]
    if weights == "imagenet":
        return ["The encoder started from weights learned on ImageNet [@russakovsky2015], the heads from random ones."]
    # The file's name may be a path of somebody's machine; its digest says which file it was.
    digest = description.facts.get("network.weights", "")[:12]
    return [f"The encoder started from weights of our own (SHA-256 {digest}…), the heads from random ones."]


def _training(settings: Experiment) -> list[str]:
    training = settings.training
    budget = {
        "best_epoch": f"A candidate stopped after {_number(training.patience)} epochs without a better validation "
        "result, and a refit took the median of the optimiser steps of its best epochs.",
        "schedule": "Every training ran until its learning rate was zero and was judged by its last epoch.",
    }
    views = (
        "In training each exam was shown in eight fixed views that differ by rotations of up to 8°, small changes of "
        "intensity and blur, the two maps of a dual input turned alike; maps were never mirrored."
    )
    displaced = " With random weights, maps were displaced and stretched by up to 8 % as well, anew in every step."
    augmented = views + displaced * (settings.network.weights == "random")
    precision = {
        "fp32": "Computations were in single precision.",
        "bf16": "Forward passes in training were in bfloat16 (mixed precision).",
    }
    return [
        "Networks were trained with AdamW [@loshchilov2019] in batches of at most "
        f"{training.batch_size} exams, for at most {training.epochs} epochs, with learning rates that rose over the "
        "first 5 % of the steps and fell to zero along half a cosine [@loshchilov2017].",
        budget[training.budget],
        augmented if training.augment else "Maps were not augmented.",
        precision[training.precision],
    ]


def _imbalance(settings: Experiment) -> list[str]:
    recalibrated = {
        "none": "The probabilities were not recalibrated: they are those of a prevalence of one half; for measures of "
        "calibration they were moved to the prevalence of the training exams by a shift known beforehand.",
        "platt": "Probabilities were recalibrated for each tracer by Platt's method [@platt1999], on out-of-fold "
        "scores of the chosen candidates, trained again in a fresh inner cross-validation.",
    }
    return [
        "The loss was binary cross-entropy, weighted so that the classes of a tracer count equally [@king2001] and so "
        "do the tracers, because labels are unequally frequent.",
        recalibrated[settings.decision.calibration],
    ]


def _folds(description: RunDescription, columns: Collection[str]) -> list[str]:
    folds = description.settings.folds
    # The default strata that a manifest lacks were dropped when the plan was drawn.
    strata = [name for name in folds.stratify if name in ("tracer", "label") or name in columns]
    seeded = f"(seed {folds.seed}, plan {description.plan[:12]})"
    if folds.by == "site":
        how = (
            f"each of {folds.folds} sites was held out once {seeded}; inner parts were stratified by {_listed(strata)}"
        )
    else:
        how = (
            f"the development patients were divided into {folds.folds} folds, {_times(folds.repeats)}, by patient and "
            f"stratified by {_listed(strata)} {seeded}"
        )
    share = (
        f"Each cell used {folds.training_share:.6g} of its training patients, for a point of a learning curve."
        if folds.training_share < 1
        else ""
    )
    return [
        f"Performance was estimated by nested cross-validation [@varma2006]: {how}.",
        share,
        "All choices were made from the other folds alone, and each held-out exam was predicted once a repeat; no "
        "patient was on two sides of a split.",
    ]


def _search(description: RunDescription) -> list[str]:
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
    drawn = _listed([_drawn(one) for one in description.space])
    pruned = (
        f"A candidate that after {_number(_PRUNING_WARM_UP)} epochs or more did worse than the median of earlier ones "
        "at the same epoch was stopped."
        if search.prune
        else "No candidate was stopped for doing worse than others."
    )
    # A space of the authors' own is named by its file alone, not by where it lies.
    name = PurePosixPath(search.space).stem.replace("_", " ")
    return [
        f"In each fold {search.candidates} candidates of the search space “{name}” ({drawn or 'nothing varied'}) were "
        f"tried with Optuna's [@akiba2019] tree-structured Parzen estimator [@bergstra2011], each scored on {inner} "
        f"by {objective[search.objective]}.",
        pruned,
    ]


def _members(settings: Experiment) -> list[str]:
    members, winners = settings.training.members, settings.search.winners
    if members == 1:
        return ["The best candidate was refitted on all training patients of the fold."]
    kept = "the best candidate" if winners == 1 else f"the best {_number(winners)} candidates in turn"
    return [
        f"The model was the mean score of {_number(members)} networks, refits of {kept} on all training patients of "
        "the fold, each with a seed of its own."
    ]


def _decision(settings: Experiment) -> list[str]:
    threshold = {
        "fixed": "An exam was called positive from a class-balanced probability of 0.5 on.",
        "balanced_accuracy": "An exam was called positive from the threshold on that had the highest balanced accuracy "
        "in the inner out-of-fold scores of its tracer.",
    }
    return [threshold[settings.decision.threshold], "Thresholds were fixed before any held-out exam was predicted."]


def _test(description: RunDescription, *, opened: bool, tested: bool) -> list[str]:
    if not description.final:
        return ["No final network was trained."]
    final = "The final networks were trained by the same procedure on all development patients."
    if not tested:
        return [final, "There was no test partition."]
    if not opened:
        return [final, "The test partition has not been opened."]
    return [final, "Networks, thresholds and statistics were frozen by hash before the test partition was opened."]


def _measures(settings: Experiment, *, tested: bool) -> list[str]:
    statistics = settings.statistics
    level = f"{statistics.level:.6g}"
    by_site = settings.folds.by == "site"
    validated = (
        "AUCs of the sites were combined on the logit scale by a random-effects meta-analysis [@debray2017]"
        if by_site
        else "the cross-validated AUC is the mean over folds, with an interval from the variance over patients of the "
        "pairs held out together [@obuchowski1997]"
    )
    test = (
        "; on the test partition the interval is DeLong's [@delong1988] on the logit scale [@perme2019], or Newcombe's "
        "method 5 [@newcombe2006] below 15 patients of a class"
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
        f"Intervals are at the level {level}, clustered by patient: {validated}{test}.",
        "Sensitivity, specificity and balanced accuracy have Wilson intervals [@wilson1927], joined by square-and-add "
        f"[@zou2008]; sensitivity is given at a specificity of {statistics.specificity:.6g}, too. Calibration is "
        f"described by its intercept, its slope and the Brier score [@vancalster2019].{benefit}{prevalence}",
    ]


def _comparisons(settings: Experiment) -> list[str]:
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
    pairs = _listed(list(statistics.comparisons)) if statistics.comparisons else "all pairs of input configurations"
    by_site = settings.folds.by == "site"
    several = len(settings.cohort.inputs) > 1 and settings.cohort.patients == "common" and not by_site
    secondary = (
        f"Secondary comparisons were {pairs}, paired by exam and fold, with Holm's correction [@holm1979]; differences "
        f"of AUC within ±{statistics.equivalence:.6g} count as practically equivalent [@corani2015]."
    )
    return [primary, secondary if several else "", baseline[statistics.baseline]]


def _subgroups(settings: Experiment, columns: Collection[str]) -> list[str]:
    subgroups = [name for name in settings.statistics.subgroups if name in columns]
    if not subgroups:
        return ["No subgroup was reported apart."]
    return [f"Performance is reported apart by {_listed(subgroups)}, with gaps between the groups."]


def _clusters(settings: Experiment) -> list[str]:
    if settings.folds.by == "site":
        return ["Differences between sites are given as tau², I² and the AUC to expect at a new site."]
    return ["Folds were drawn by patient, not by site; differences between sites were not quantified."]


def _predictions(description: RunDescription) -> list[str]:
    if not description.final:
        return ["No network was kept for new exams."]
    return [
        "The final networks are kept with their thresholds and calibration (safetensors and JSON); `polarmap predict` "
        "applies them to new exams."
    ]


def _software(description: RunDescription) -> list[str]:
    facts = description.facts
    named = {"polarmap-tune": "polarmap", "torch": "PyTorch", "optuna": "Optuna", "scikit-learn": "scikit-learn"}
    versions = [f"{name} {facts[f'versions.{key}']}" for key, name in named.items() if f"versions.{key}" in facts]
    device = {"cpu": "a CPU", "cuda": "a GPU"}.get(facts.get("device", ""), "a device that was not recorded")
    return [
        f"The software was {_listed(versions)}, on {device}; the experiment's hash is {description.hash[:12]}.",
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


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""


def _number(count: int) -> str:
    words = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    return words[count] if 0 <= count < len(words) else str(count)


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")
