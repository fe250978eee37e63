"""Internal–external cross-validation: a whole run whose folds are sites, and what its report says of them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.metrics import roc_auc_score

import polarmap
from mpi_model.errors import ExperimentError
from orchestrator.experiment.file import load_experiment
from orchestrator.statistics.meta_analysis import logit_auc, random_effects
from orchestrator.statistics.scores import Exams, PatientScores

SITES = ("athens", "larissa", "patras", "volos")


@pytest.fixture(scope="module")
def by_site(tmp_path_factory, make_tiny, run) -> Path:
    """A run over four sites, one of which has only positive thallium exams."""
    experiment = make_tiny(tmp_path_factory.mktemp("sites"), patients=96, test_patients=8)
    manifest = experiment.parent / "manifest.csv"
    rows = pd.read_csv(manifest)
    rows["site"] = [SITES[number // 4 % 4] for number in rows.index]
    rows.loc[(rows["site"] == "volos") & (rows["tracer"] == "Tl-201"), "label"] = 1
    rows.to_csv(manifest, index=False)
    experiment.write_text(experiment.read_text().replace("folds = 2\n", 'by = "site"\n').replace('"dual"', '"rest"'))
    run(experiment)
    return experiment


def test_every_cell_holds_out_one_site(by_site, folder_of):
    """There is a cell a site and input configuration, and its predictions are those of the site's patients."""
    found = polarmap.open_run(folder_of(by_site))
    site_of = found.cohort.set_index("exam_id")["site"]
    predictions = found.predictions.assign(site=lambda rows: rows["exam_id"].map(site_of))
    held_out = predictions.groupby(["inputs", "fold"])["site"].unique()
    assert [tuple(names) for names in held_out] == [(site,) for site in SITES] * 2
    assert len(found.cells.query("partition == 'development'")) == 2 * len(SITES)


def test_a_site_is_judged_alone_and_sites_are_combined(by_site, folder_of):
    """Each site's AUC is scikit-learn's; the mean is the random-effects one; a site of one class has a reason."""
    found = polarmap.open_run(folder_of(by_site))
    summary = found.summary.query("model == 'network'")
    predictions = found.predictions.query("model == 'network'")
    site_of = found.cohort.set_index("exam_id")["site"]
    for (tracer, inputs), rows in predictions.groupby(["tracer", "inputs"]):
        mine = summary[(summary["tracer"] == tracer) & (summary["inputs"] == inputs) & summary["primary"]]
        values = []
        for site, exams in rows.groupby(rows["exam_id"].map(site_of)):
            row = mine[(mine["subgroup"] == f"held-out site={site}") & (mine["metric"] == "auc")].squeeze()
            if (site, tracer) == ("volos", "Tl-201"):
                assert row["state"] == "refused"
                assert "both classes are needed" in row["reason"]
                assert (row["patients"], row["positives"], row["negatives"]) == (12, 12, 0)
                continue
            assert row["estimate"] == pytest.approx(roc_auc_score(exams["label"], exams["score"]))
            values.append(logit_auc(PatientScores(exams=Exams.of(exams["label"]), scores=exams["score"].to_numpy())))
        together = random_effects(*np.array(values).T, level=0.95)
        auc = mine[(mine["metric"] == "auc") & (mine["subgroup"] == "all")].squeeze()
        assert (auc["estimate"], auc["low"], auc["high"]) == pytest.approx(
            tuple(expit([together.mean, together.low, together.high]))
        )
        assert auc["method"] == "random effects, Hartung–Knapp"
        heterogeneity = mine.set_index("metric")["estimate"]
        assert (heterogeneity["auc_tau2"], heterogeneity["auc_i2"]) == pytest.approx((together.tau2, together.i2))
        new = mine[mine["metric"] == "auc_of_new_site"].squeeze()
        assert new["low"] <= auc["low"]
        assert new["high"] >= auc["high"]


def test_the_report_has_a_table_of_the_sites(by_site, folder_of):
    """Every site stands in it, with its reason where it has no AUC; the experiment's table says what a fold was."""
    text = polarmap.open_run(folder_of(by_site)).report(figures=False).text("markdown")
    assert "## Tl-201, intermediate or high risk: cross-validation: sites" in text
    assert "| volos | stress | both classes are needed, but 12 of 12 exams are positive | — | — | 12 (12) |" in text
    assert "| cross-validation | 4 sites, each held out once;" in text


def test_resuming_a_finished_run_by_site_does_nothing(by_site, run, no_runner):
    """The number of sites, known from the manifest alone, is part of the same experiment the next time."""
    assert run(by_site, runner=no_runner).done_now == 0


def test_sites_are_held_out_once(tiny):
    """More than one repeat of the same folds is refused with the remedy, before the cohort is read."""
    with pytest.raises(ExperimentError, match=r"`folds.repeats` must be 1, but is 3; set repeats = 1"):
        load_experiment(tiny, ['folds.by="site"', "folds.repeats=3"])
