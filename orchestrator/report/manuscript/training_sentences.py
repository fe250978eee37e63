"""Sentences of a methods paragraph on data, network and training; each follows from a setting or a stored fact."""

from typing import Final

from mpi_model.stages import backbone
from orchestrator.experiment.settings import Experiment
from orchestrator.ledger.description import RunDescription
from orchestrator.report.manuscript.wording import listed, number_word

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


def training_sentences(description: RunDescription) -> dict[str, list[str]]:
    """Sentences by what they are about, in the paragraph's order."""
    settings = description.settings
    return {
        "cohort": _on_cohort(settings),
        "missing": _on_missing(description),
        "images": _on_images(settings),
        "network": _on_network(description),
        "initialisation": _on_initialisation(description),
        "training": _on_training(settings),
        "imbalance": _on_imbalance(settings),
    }


def objective_sentences(settings: Experiment) -> list[str]:
    """What the experiment was made to find out."""
    endpoint = f" ({_meaning(settings)})" if settings.statistics.endpoints else ""
    return [
        "A model was developed and evaluated in this study.",
        f"The objective was to estimate, for each tracer by itself, how well networks tell its endpoint{endpoint} from "
        f"polar maps with {listed(list(settings.cohort.inputs))} input.",
    ]


def choice_sentences(description: RunDescription) -> list[str]:
    """What the experiment shows of the choice of the model's type; the reasons themselves are the authors'."""
    settings = description.settings
    network = settings.network
    begun = {
        "imagenet": "It was transferred: its encoder had learned from ImageNet's pictures, not from maps, before these "
        "patients trained it.",
        "random": "It started from random weights: all that it knows was learned from these patients.",
    }
    heads = {
        "tracer": "One encoder for both tracers learned from the patients of both; a head for each tracer leaves it a "
        "decision of its own.",
        "shared": "One encoder and one head learned from the patients of both tracers.",
        "separate": "Each tracer's network learned from that tracer's patients alone.",
    }
    simpler = {
        "segments": "A simpler type, logistic regression on the means of 17 segments, was fitted in the same folds; "
        "the report gives the paired difference from it.",
        "none": "No simpler type of model was fitted beside it.",
    }
    # A file of one's own may hold any weights; its path is nobody's business.
    own = "It was transferred: its encoder started from weights of our own."
    return [
        f"The model is a convolutional network ({network.backbone}), which reads the map as an image.",
        begun.get(network.weights, own),
        _on_encoder_end(description),
        heads[network.heads],
        simpler[settings.statistics.baseline],
    ]


def _on_encoder_end(description: RunDescription) -> str:
    """How much of the encoder is used, and who decided that."""
    ended = description.settings.network.encoder_stages
    if any(parameter.name == "encoder_stages" for parameter in description.space):
        return "Where its encoder ends was chosen by the search in each fold."
    if ended == "all":
        return "Its encoder was used whole."
    stages = backbone(description.settings.network.backbone).stage_count
    return f"Its encoder was used up to stage {ended} of {stages}, which leaves fewer weights to train."


def _meaning(settings: Experiment) -> str:
    """What a positive label means; empty where no endpoint has a name."""
    return listed([f"{meant} for {tracer}" for tracer, meant in settings.statistics.endpoints.items()])


def _on_cohort(settings: Experiment) -> list[str]:
    """What was read, and from which exams."""
    cohort = settings.cohort
    compared = listed([_INPUTS[inputs] for inputs in cohort.inputs])
    several = len(cohort.inputs) > 1
    meaning = _meaning(settings)
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


def _on_missing(description: RunDescription) -> list[str]:
    """What was left out."""
    told = [
        f"{one.count} {one.partition} exam{'s' if one.count > 1 else ''} ({one.reason})"
        for one in description.exclusions
    ]
    excluded = f"Exams were left out: {listed(told)}." if told else "No exam was left out."
    return [
        excluded,
        "A map that was not acquired was never replaced; a blank entry of a stratum counted as a stratum of its own.",
    ]


def _on_images(settings: Experiment) -> list[str]:
    """How a map becomes an input."""
    size = settings.images.size
    return [
        f"Each map was resampled to {size} × {size} pixels (area averaging to fewer pixels, linear interpolation to "
        "more). Maps of 8 bits were divided by 255, maps of counts by their own maximum. Nothing was fitted across "
        "patients. One scan under two patients, or one patient in two partitions, is refused by the software."
    ]


def _on_network(description: RunDescription) -> list[str]:
    """Encoder, heads and fusion."""
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


def _on_initialisation(description: RunDescription) -> list[str]:
    """Where training began."""
    weights = description.settings.network.weights
    if weights == "random":
        return ["The network started from random weights."]
    if weights == "imagenet":
        return ["The encoder started from weights learned on ImageNet [@russakovsky2015], the heads from random ones."]
    # The file's name may be a path of somebody's machine; its digest says which file it was.
    digest = description.facts.get("network.weights", "")[:12]
    return [f"The encoder started from weights of our own (SHA-256 {digest}…), the heads from random ones."]


def _on_training(settings: Experiment) -> list[str]:
    """Optimiser, budget, augmentation, precision."""
    training = settings.training
    budget = {
        "best_epoch": f"A candidate stopped after {number_word(training.patience)} epochs without a better validation "
        "result, and a refit took the median of the optimiser steps of its best epochs.",
        "schedule": "Every training ran until its learning rate was zero; what was judged is the network with the mean "
        "of the weights after each epoch of the second half.",
    }
    views = (
        "In training each exam was shown in eight fixed views. They differ by rotations of up to 8°, small changes of "
        "intensity and blur; the two maps of a dual input were turned alike. Maps were never mirrored."
    )
    displaced = " With random weights, maps were displaced and stretched by up to 8 % as well, anew in every step."
    augmented = views + displaced * (settings.network.weights == "random")
    precision = {
        "fp32": "Computations were in single precision.",
        "bf16": "Forward passes in training were in bfloat16 (mixed precision).",
    }
    return [
        "Networks were trained with AdamW [@loshchilov2019] in batches of at most "
        f"{training.batch_size} exams, for at most {training.epochs} epochs. Learning rates rose over the "
        "first 5 % of the steps and fell to zero along half a cosine [@loshchilov2017].",
        budget[training.budget],
        augmented if training.augment else "Maps were not augmented.",
        precision[training.precision],
    ]


def _on_imbalance(settings: Experiment) -> list[str]:
    """Unequal classes, and what became of the probabilities."""
    recalibrated = {
        "none": "The probabilities were not recalibrated: they are those of a prevalence of one half. For measures of "
        "calibration they were moved to the prevalence of the training exams by a shift known beforehand.",
        "platt": "Probabilities were recalibrated for each tracer by Platt's method [@platt1999], on out-of-fold "
        "scores of the chosen candidates, trained again in a fresh inner cross-validation.",
    }
    return [
        "The loss was binary cross-entropy, weighted so that the classes of a tracer count equally [@king2001] and so "
        "do the tracers, because labels are unequally frequent.",
        recalibrated[settings.decision.calibration],
    ]
