"""External validation: frozen networks on exams of another centre, never on patients they met; every use counts."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

import polarmap
from mpi_model.errors import CohortError, ExperimentError, RunDirectoryError
from orchestrator.cli import main


@pytest.fixture(scope="session")
def centre(tmp_path_factory, make_cohort) -> Path:
    """The manifest of another centre: other patients, other maps; copy before changing."""
    return make_cohort(tmp_path_factory.mktemp("centres") / "larissa", patients=64, test_patients=0, seed=5, called="l")


@pytest.fixture
def changed(centre, tmp_path) -> Path:
    """A private copy of that centre's manifest."""
    shutil.copytree(centre.parent, tmp_path / "larissa")
    return tmp_path / "larissa" / "manifest.csv"


def uses(experiment: Path) -> list[dict]:
    """All lines of the log of validations beside a run."""
    logs = (experiment.parent / "runs" / "validations").glob("*")
    return [json.loads(line) for log in logs for line in log.read_text().splitlines()]


def row_of(report: polarmap.Report, **wanted: object) -> pd.Series:
    """The one leading row of a summary."""
    rows = report.summary[report.summary["primary"]]
    for name, value in wanted.items():
        rows = rows[rows[name] == value]
    assert len(rows) == 1
    return rows.iloc[0]


def test_a_validation_judges_what_predict_predicts(mine, folder_of, centre, tmp_path):
    """AUC, sensitivity and specificity are scikit-learn's and a count, of `predict`'s scores and frozen thresholds."""
    run = polarmap.open_run(folder_of(mine))
    report = polarmap.validate(run, centre, out=tmp_path / "out.parquet")

    labels = pd.read_csv(centre).assign(exam_id=lambda rows: rows["patient_id"] + ":" + rows["tracer"])
    predicted = run.predict(centre).merge(labels[["exam_id", "label"]], on="exam_id")
    for (tracer, inputs), rows in predicted.groupby(["tracer", "inputs"]):
        where = {"partition": "validation larissa", "tracer": tracer, "inputs": inputs, "subgroup": "all"}
        auc = row_of(report, metric="auc", **where)
        assert auc["estimate"] == pytest.approx(roc_auc_score(rows["label"], rows["score"]), abs=1e-12)
        assert auc["low"] < auc["estimate"] <= auc["high"]
        assert (auc["patients"], auc["positives"]) == (len(rows), rows["label"].sum())
        assert auc["endpoint"] == {"Tc-99m": "abnormal perfusion"}.get(tracer, "intermediate or high risk")
        called = rows["probability"] >= rows["threshold"]
        for metric, label in (("sensitivity", 1), ("specificity", 0)):
            found = report.summary[report.summary["at"].isna() & (report.summary["metric"] == metric)]
            for name, value in where.items():
                found = found[found[name] == value]
            assert found["estimate"].item() == pytest.approx((called == label)[rows["label"] == label].mean())

    written = pd.read_parquet(tmp_path / "out.parquet")
    assert written["score"].tolist() == predicted["score"].tolist()
    assert written["label"].tolist() == predicted["label"].tolist()


def test_every_use_is_counted_and_the_report_says_how_often(mine, folder_of, centre, capsys):
    """The log grows by one line a use, also of the same networks on the same cohort, and the count is printed."""
    for times in (1, 2, 3):
        assert main(["validate", str(folder_of(mine)), str(centre), "--format", "json"]) == 0
        printed = json.loads(capsys.readouterr().out)
        assert printed["validations"] == {"larissa": {"uses": times, "networks": 1}}
        assert len(uses(mine)) == times
    assert set(uses(mine)[0]) == {"time", "user", "experiment", "frozen", "digest"}


def test_a_patient_of_the_run_is_refused_by_id(mine, folder_of, changed, capsys):
    """A new exam of a development patient ends with code 3 and the manifest's row; nothing is logged, no id is said."""
    rows = pd.read_csv(changed)
    rows.loc[6, "patient_id"] = "patient-003"
    rows.to_csv(changed, index=False)

    assert main(["validate", str(folder_of(mine)), str(changed)]) == 3
    said = capsys.readouterr().err
    assert "manifest row 7 (line 8): the patient is in the run's own cohort" in said
    assert "patient-003" not in said
    assert uses(mine) == []


@pytest.mark.parametrize("theirs", ["003-rest.npy", "050-stress.npy"])
def test_a_map_of_the_run_is_refused_under_another_id(mine, folder_of, changed, theirs):
    """A development or test patient's map under a new id, as the other phase and in another format, is still found."""
    counts = np.load(mine.parent / theirs)
    np.savez(changed.parent / "again.npz", counts.astype(np.float64))
    rows = pd.read_csv(changed)
    rows.loc[2, "stress"] = "again.npz"
    rows.to_csv(changed, index=False)

    with pytest.raises(CohortError, match=r"^manifest row 3 \(line 4\): a map \(equal pixels\)"):
        polarmap.validate(folder_of(mine), changed)
    assert uses(mine) == []


def test_a_map_of_the_run_in_another_size_is_pointed_out(mine, folder_of, changed):
    """A map exported again in another size has other pixels; its segments give it away."""
    counts = np.load(mine.parent / "004-stress.npy")
    np.save(changed.parent / "larger.npy", np.kron(counts, np.ones((3, 3), dtype=np.float32))[1:, 1:])
    rows = pd.read_csv(changed)
    rows.loc[4, "stress"] = "larger.npy"
    rows.to_csv(changed, index=False)

    (notice,) = polarmap.validate(folder_of(mine), changed).notices
    assert notice.startswith("larissa: manifest row 5 (line 6): a map's segments differ by less than")


def test_an_id_that_looks_like_one_of_the_runs_is_pointed_out(mine, folder_of, changed):
    """Capitals and leading zeros differ between two exports of one hospital: a notice with the row, and no refusal."""
    rows = pd.read_csv(changed)
    rows.loc[6, "patient_id"] = "Patient-0003"
    rows.to_csv(changed, index=False)

    (notice,) = polarmap.validate(folder_of(mine), changed).notices
    assert notice.startswith("larissa: manifest row 7 (line 8): a patient id looks like one of the run's cohort")


@pytest.mark.parametrize("file", ["stress-member0.safetensors", "dual-member0.json"])
def test_a_network_that_was_changed_is_refused(mine, folder_of, centre, file):
    """One other byte in a network or its thresholds, and nothing is predicted or logged."""
    model = folder_of(mine) / "models" / file
    content = bytearray(model.read_bytes())
    content[-2] ^= 1
    model.write_bytes(content)

    with pytest.raises(RunDirectoryError, match=f"models/{file} is not what the ledger says"):
        polarmap.validate(folder_of(mine), centre)
    assert uses(mine) == []


def test_maps_unlike_the_development_maps_are_far_from_them(mine, folder_of, centre, changed):
    """The same centre is about as far as development is from itself; its maps turned upside down are far beyond."""
    for image in changed.parent.glob("*.npy"):
        np.save(image, np.load(image)[::-1])
    changed = changed.parent.rename(changed.parent.with_name("volos")) / "manifest.csv"

    report = polarmap.validate(folder_of(mine), [centre, changed])
    for tracer in ("Tc-99m", "Tl-201"):
        where = {"tracer": tracer, "inputs": "stress"}
        alike, turned = (
            row_of(report, metric="map_distance_ratio", partition=f"validation {name}", **where)["estimate"]
            for name in ("larissa", "volos")
        )
        assert 0.7 < alike < 1.4
        assert turned > 1.2 * alike


def test_the_case_mix_counts_each_cohort(mine, folder_of, changed):
    """Patients, events, ages and sexes are those of the two manifests, tracer by tracer."""
    rows = pd.read_csv(changed)
    rows["age"] = 50 + rows.index % 7
    rows.loc[rows.index % 8 == 0, "label"] = 1
    rows.to_csv(changed, index=False)
    own = pd.read_csv(mine.parent / "manifest.csv").query("partition == 'development'")

    found = polarmap.validate(folder_of(mine), changed).case_mix.set_index(["tracer", "measure"])
    for tracer in ("Tc-99m", "Tl-201"):
        new = rows[rows["tracer"] == tracer]
        for name, mine_of in (("development", own[own["tracer"] == tracer]), ("larissa", new)):
            events, women = int(mine_of["label"].sum()), int((mine_of["sex"] == "F").sum())
            assert found.loc[(tracer, "patients"), name] == str(len(mine_of))
            assert found.loc[(tracer, "events (positive exams)"), name] == f"{events} ({events / len(mine_of):.0%})"
            assert found.loc[(tracer, "patients with sex = F"), name] == f"{women} ({women / len(mine_of):.0%})"
        age = found.loc[(tracer, "age, mean ± SD over patients")]
        assert (age["development"], age["larissa"]) == ("—", f"{new['age'].mean():.1f} ± {new['age'].std():.1f}")


def test_a_centre_is_judged_with_the_maps_that_it_has(mine, folder_of, changed):
    """Without rest maps the stress network is judged and the dual one named; one class alone is a refusal, no crash."""
    rows = pd.read_csv(changed).drop(columns="rest")
    rows.loc[rows["tracer"] == "Tl-201", "label"] = 1
    rows.to_csv(changed, index=False)

    report = polarmap.validate(folder_of(mine), changed)
    new = report.summary[report.summary["partition"] == "validation larissa"]
    assert set(new["inputs"]) == {"stress"}
    assert "larissa: no exam has the maps that dual inputs need" in report.notices
    assert (
        row_of(report, metric="auc", tracer="Tc-99m", partition="validation larissa", subgroup="all")["state"] == "ok"
    )
    refused = row_of(report, metric="auc", tracer="Tl-201", partition="validation larissa", subgroup="all")
    assert refused["state"] == "refused"
    assert "both classes" in refused["reason"]


def test_a_run_without_fingerprints_gets_them_by_running_again(mine, folder_of, centre, run, no_runner):
    """A run of an earlier version is refused with its remedy, and the remedy trains nothing and changes no network."""
    maps = folder_of(mine) / "maps.parquet"
    before = maps.read_bytes()
    maps.unlink()
    with pytest.raises(RunDirectoryError, match="polarmap run"):
        polarmap.validate(folder_of(mine), centre)
    run(mine, open_test=True, runner=no_runner)
    assert maps.read_bytes() == before
    assert len(polarmap.validate(folder_of(mine), centre).summary)


def test_two_cohorts_of_one_name_are_refused(mine, folder_of, centre):
    """A report with two columns of one name could not be read."""
    with pytest.raises(ExperimentError, match="two cohorts are called 'larissa'"):
        polarmap.validate(folder_of(mine), [centre, centre])
