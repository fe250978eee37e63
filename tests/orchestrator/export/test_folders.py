"""Exported folders: what refuses to be exported, what they hold, and that no run directory can misuse an export."""

import json
import os
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import polarmap
from mpi_model.errors import CohortError, ExperimentError, PolarmapError, RunDirectoryError
from mpi_model.pipeline import digest_of
from orchestrator.cli import main
from orchestrator.cohort.images import read_channels
from orchestrator.export import reference_code
from orchestrator.hashing import digest
from orchestrator.ledger.files import json_bytes
from polarmap.models import export, predict


def root_of(experiment: Path) -> Path:
    """The run directory as a folder."""
    return experiment.parent / "runs" / "tiny"


def reseal(root: Path, name: str, content: bytes) -> None:
    """Change a model's file as somebody would who knows how markers are made."""
    import hashlib  # noqa: PLC0415 - beside what it is for

    (root / name).write_bytes(content)
    marker = root / "cells" / "dual-final" / "COMMIT.json"
    stored = json.loads(marker.read_text())
    stored["parts"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    fields = {key: value for key, value in stored.items() if key != "digest"}
    marker.write_bytes(json_bytes(fields | {"digest": digest(fields)}))


@pytest.mark.parametrize("suffix", ["safetensors", "json"])
def test_a_run_whose_models_were_changed_by_a_byte_is_not_exported(mine, tmp_path, suffix):
    """One byte of the weights or of the thresholds, and nothing leaves; no folder is left behind."""
    model = root_of(mine) / "models" / f"dual-member0.{suffix}"
    content = bytearray(model.read_bytes())
    content[-2] ^= 1
    model.write_bytes(content)
    with pytest.raises(RunDirectoryError, match="not what the ledger says was trained"):
        export(root_of(mine), tmp_path / "out", "hub", inputs="dual")
    assert list(tmp_path.glob("*out*")) == []


def test_links_in_a_run_directory_are_not_followed(mine, tmp_path):
    """A run directory from elsewhere cannot make an export or a prediction read a file of this machine."""
    model = root_of(mine) / "models" / "dual-member0.safetensors"
    outside = tmp_path / "outside"
    model.rename(outside)
    model.symlink_to(outside)
    for use in (
        lambda: export(root_of(mine), tmp_path / "out", "hub", inputs="dual"),
        lambda: predict(root_of(mine), mine.parent / "manifest.csv"),
    ):
        with pytest.raises(RunDirectoryError, match="is a link"):
            use()


@pytest.mark.parametrize(
    "changed",
    [
        {"backbone": "../../os"},
        {"image_channels": 10**8},
        {"encoder_stages": True},
        {"fusion": "__import__('os').system('true')"},
        {"dropout": None},
    ],
)
def test_a_hostile_architecture_is_refused(mine, tmp_path, changed):
    """Markers can be forged with the models they seal: what a saved network asks for is checked, not executed."""
    name = "models/dual-member0.json"
    document = json.loads((root_of(mine) / name).read_text())
    document["architecture"] |= changed
    reseal(root_of(mine), name, json.dumps(document).encode())
    with pytest.raises(PolarmapError, match=r"architecture|encoder_stages"):
        export(root_of(mine), tmp_path / "out", "hub", inputs="dual")


def test_weights_that_are_a_pickle_are_refused(mine, tmp_path):
    """A pickle in the place of safetensors is not read, although its marker says it is the trained one."""
    bait = tmp_path / "executed"
    code = f"c__builtin__\nexec\n(S'open({str(bait)!r}, \"w\")'\ntR."
    reseal(root_of(mine), "models/dual-member0.safetensors", code.encode())
    with pytest.raises(PolarmapError, match="damaged"):
        export(root_of(mine), tmp_path / "out", "hub", inputs="dual")
    assert not bait.exists()


@pytest.mark.thorough
def test_names_of_a_run_are_text_in_its_card(make_tiny, run, tmp_path):
    """Mark-up in endpoints and names is shown as it is: no link, no HTML, no broken table, no path."""
    experiment = make_tiny(tmp_path)
    hostile = "<script>alert(1)</script> | [x](javascript:1) ../../etc"
    run(experiment, f'statistics.endpoints={{"Tc-99m" = "{hostile}", "Tl-201" = "risk"}}', 'cohort.inputs=["stress"]')
    export(root_of(experiment), tmp_path / "out", "hub")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "<script" not in card
    assert "](javascript" not in card.replace("\\]", "")
    tables = [line for line in card.splitlines() if line.startswith("| Tc-99m |")]
    assert len({line.replace("\\|", "").count("|") for line in tables if "&lt;script" in line}) == 1
    assert sorted(path.name for path in tmp_path.glob("out/*")) == [
        "README.md",
        "code",
        "config.json",
        "model.safetensors",
        "predict.py",
    ]


def test_a_card_names_no_patient(hub):
    """No patient's id stands in any file of an export, weights included."""
    for path in hub.rglob("*"):
        if path.is_file():
            assert b"patient-0" not in path.read_bytes(), path.name
    card = (hub / "README.md").read_text()
    for slot in ("Intended use", "Out of scope", "Table 1", "Calibration", "Subgroups", "External validation"):
        assert slot in card
    assert card.count("to be written by you") >= 6
    assert "opened 1 time" in card
    assert "Newcombe" in card


def test_the_card_and_the_bundle_call_what_the_reference_code_has():
    """What the card's Python imports from `predict.py`, and the MONAI bundle calls in it, is there by that name."""
    folder = Path(reference_code.__file__).parent
    imported = re.findall(r"from predict import (.+)", (folder / "model_card.md.jinja").read_text())
    called = re.findall(r"\$predict\.(\w+)\(", (folder / "bundle.py").read_text())
    assert imported
    assert called
    for name in [*", ".join(imported).split(", "), *called]:
        assert callable(getattr(reference_code, name)), name


@pytest.mark.thorough
def test_a_hub_folder_is_used_without_polarmap(finished, hub, tmp_path):
    """`predict.py` and the card's Python run where only torch, numpy and safetensors are, not these packages."""
    told = predict(root_of(finished), finished.parent / "manifest.csv")
    first = told[(told["inputs"] == "dual") & (told["exam_id"] == "patient-003:Tl-201")].iloc[0]
    images = [
        word for phase in ("stress", "rest") for word in (f"--{phase}", str(finished.parent / f"003-{phase}.npy"))
    ]
    # Isolated: neither this folder nor PYTHONPATH is searched for modules.
    command = [sys.executable, "-I", str(hub / "predict.py"), "--tracer", "Tl-201", *images]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    answer = json.loads(found.stdout)
    assert answer["probability"] == pytest.approx(first["probability"], abs=1e-5)
    assert answer["positive"] == bool(first["positive"])
    assert answer["outside"] == bool(first["outside"])

    card = (hub / "README.md").read_text()
    code = card.split("```python\n")[1].split("```")[0] + "\nassert decision[0] in (0, 1)\n"
    subprocess.run([sys.executable, "-c", code], cwd=hub, env=_without_path(), check=True)


def _without_path() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


@pytest.mark.thorough
def test_the_reference_code_refuses_what_the_network_does_not_know(finished, own_hub):
    """A missing phase, an unknown tracer and a folder with one other byte end with one sentence and no answer."""
    stress = ["--stress", str(finished.parent / "003-stress.npy")]
    rest = ["--rest", str(finished.parent / "003-rest.npy")]
    thallium = ["--tracer", "Tl-201", *stress]
    weights, config = own_hub / "model.safetensors", own_hub / "config.json"
    for words, why in (
        (thallium, "missing"),
        (["--tracer", "F-18", *stress, *rest], "knows"),
        ([*thallium, *rest], "config.json is not what was exported"),
        ([*thallium, *rest], "model.safetensors is not what was exported"),
    ):
        if "model" in why:
            weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
        if "config" in why:
            config.write_text(config.read_text().replace('"threshold": 0.', '"threshold": 0.0'))
        command = [sys.executable, "-I", str(own_hub / "predict.py"), *words]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        assert found.returncode == 1
        assert why in found.stderr
        assert found.stdout == ""


@pytest.mark.parametrize(
    "kind", ["wide", "frames", "grey_with_alpha", "grey_with_alpha_16", "tiny", "turned", "white_is_zero", "long"]
)
def test_the_reference_code_reads_and_refuses_the_images_that_polarmap_does(tmp_path, kind):
    """An image that `polarmap predict` refuses gets no probability from an export either; others have its pixels."""
    grey = np.random.default_rng(0).integers(0, 255, (40, 40), dtype=np.uint8)
    path = tmp_path / {"frames": "map.tif", "white_is_zero": "map.tif", "long": "map.npy"}.get(kind, "map.png")
    match kind:
        case "wide":
            Image.fromarray(np.hstack([grey, grey])).save(path)
        case "tiny":
            Image.fromarray(grey[:4, :4]).save(path)
        case "frames":
            Image.fromarray(grey).save(path, save_all=True, append_images=[Image.fromarray(grey.T)])
        case "turned":
            turned = Image.Exif()
            turned[274] = 6
            Image.fromarray(grey).save(path, exif=turned)
        case "white_is_zero":
            Image.fromarray(grey.astype(np.uint16) * 200).save(path, tiffinfo={262: 0})
        case "long":
            np.save(path, grey.astype(np.longdouble))
        case "grey_with_alpha":
            Image.fromarray(np.dstack([grey, np.full_like(grey, 255)]), "LA").save(path)
        case _:
            path = _grey_with_alpha_16(tmp_path)
    try:
        due = read_channels(path)
    except CohortError:
        with pytest.raises(SystemExit):
            reference_code._read_map(path, 1)
    else:
        np.testing.assert_array_equal(reference_code._read_map(path, 1), due)


def _grey_with_alpha_16(folder: Path) -> Path:
    """A PNG of 16-bit grey with transparency, which Pillow reads as 8 bits."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    counts = np.random.default_rng(0).integers(0, 4096, (40, 40))
    pixels = np.dstack([counts, np.full_like(counts, 65535)]).astype(">u2")
    lines = zlib.compress(b"".join(b"\0" + line.tobytes() for line in pixels))
    head = struct.pack(">IIBBBBB", 40, 40, 16, 4, 0, 0, 0)
    path = folder / "grey_with_alpha_16.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", lines) + chunk(b"IEND", b""))
    return path


def test_an_exported_folder_predicts_as_its_run_does(finished, own_hub, tmp_path):
    """`polarmap predict` gives the run's answers from its export, card completed; one byte of weights is refused."""
    manifest = finished.parent / "manifest.csv"
    export(root_of(finished), tmp_path / "bundle", "bundle", inputs="dual")
    told = predict(root_of(finished), manifest)
    told = told[told["inputs"] == "dual"].reset_index(drop=True)
    for name, filled in (("hub", ["README.md"]), ("bundle", ["docs/README.md", "LICENSE", "configs/metadata.json"])):
        # A card that was finished is no damage.
        for one in filled:
            text = (tmp_path / name / one).read_text()
            assert "to be written by you" in text.lower()
            (tmp_path / name / one).write_text(text.replace("to be written by you", "A. Papadopoulou, Larissa"))
        found = predict(tmp_path / name, manifest)
        assert set(found["model"]) == {name}
        assert found.drop(columns="model").equals(told.drop(columns="model"))
    weights = own_hub / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    with pytest.raises(ExperimentError, match="not what was exported"):
        predict(own_hub, manifest)


@pytest.mark.parametrize("name", ["../secret", "{}/secret"])
def test_a_configuration_that_names_files_elsewhere_is_refused(name, finished, own_hub, tmp_path):
    """The digests of `config.json` are of files in the folder: a name with `..`, or an absolute one, is not opened."""
    config = json.loads((own_hub / "config.json").read_text())
    (tmp_path / "secret").write_text("x")
    config["files"][name.format(tmp_path)] = "0" * 64
    (own_hub / "config.json").write_text(json.dumps({**config, "digest": digest_of(config)}))
    with pytest.raises(ExperimentError, match="not in the folder"):
        predict(own_hub, finished.parent / "manifest.csv")


@pytest.mark.parametrize("spoil", ["weights without a digest", "a configuration of four gigabytes"])
def test_what_is_not_verified_is_not_read(spoil, finished, own_hub):
    """Weights that no digest names are refused, and a configuration is bounded before it is read."""
    path = own_hub / "config.json"
    if spoil == "weights without a digest":
        config = json.loads(path.read_text()) | {"files": {}}
        path.write_text(json.dumps({**config, "digest": digest_of(config)}))
    else:
        os.truncate(path, 2**32)
    with pytest.raises(ExperimentError, match=r"not what was exported|cannot be read"):
        predict(own_hub, finished.parent / "manifest.csv")


def test_a_bundle_with_a_pickle_is_refused(finished, tmp_path):
    """`models/model.pt` is read as tensors only; a bundle that holds code runs none of it."""
    import hashlib  # noqa: PLC0415 - beside what it is for

    export(root_of(finished), tmp_path / "bundle", "bundle", inputs="dual")
    bait, weights = tmp_path / "executed", tmp_path / "bundle" / "models" / "model.pt"

    class Bait:
        def __reduce__(self) -> tuple[object, tuple[str, str]]:
            return open, (str(bait), "w")

    torch.save({"x": Bait()}, weights)
    config = json.loads((tmp_path / "bundle" / "config.json").read_text())
    config["files"]["models/model.pt"] = hashlib.sha256(weights.read_bytes()).hexdigest()
    (tmp_path / "bundle" / "config.json").write_text(json.dumps({**config, "digest": digest_of(config)}))
    with pytest.raises(PolarmapError, match="damaged"):
        predict(tmp_path / "bundle", finished.parent / "manifest.csv")
    assert not bait.exists()


def test_a_missing_extra_is_named(finished, tmp_path, monkeypatch, capsys):
    """Without the optional packages the command says which extra brings them, and writes nothing."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *_: None)
    for words, extra in ((["onnx", "--inputs", "dual"], "polarmap-tune[onnx]"), (["mlflow"], "polarmap-tune[mlflow]")):
        assert main(["export", str(root_of(finished)), str(tmp_path / "out"), "--format", *words]) == 2
        assert extra in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


def test_an_export_is_the_same_twice_and_overwrites_nothing(finished, hub, tmp_path):
    """The same run gives the same bytes, and a folder that is in use is left alone."""
    export(root_of(finished), tmp_path / "one", "hub", inputs="dual")
    names = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert len(names) > 10
    assert all((tmp_path / "one" / name).read_bytes() == (hub / name).read_bytes() for name in names)
    with pytest.raises(ExperimentError, match="exists already"):
        export(root_of(finished), tmp_path / "one", "hub", inputs="dual")
    with pytest.raises(ExperimentError, match="--inputs"):
        export(root_of(finished), tmp_path / "three", "hub")


def test_the_bundle_follows_monais_schema(finished, tmp_path):
    """`metadata.json` has every key that MONAI's schema of 2024-07-25 requires, and tensors with all of theirs."""
    export(root_of(finished), tmp_path / "bundle", "bundle", inputs="dual")
    metadata = json.loads((tmp_path / "bundle" / "configs" / "metadata.json").read_text())
    versions = {"version", "monai_version", "pytorch_version", "numpy_version", "required_packages_version"}
    required = {*versions, "schema", "task", "description", "authors", "copyright", "network_data_format"}
    assert required <= set(metadata)
    assert metadata["schema"].endswith("meta_schema_20240725.json")
    tensors = [tensor for side in ("inputs", "outputs") for tensor in metadata["network_data_format"][side].values()]
    for tensor in tensors:
        assert {"type", "format", "num_channels", "spatial_shape", "dtype", "value_range"} <= set(tensor)
        assert isinstance(tensor["num_channels"], int)
        assert all(isinstance(value, int | float) for value in tensor["value_range"])


def test_the_network_knows_its_limits(finished, tmp_path):
    """Maps turned by half a circle are flagged as outside far more often than the exams it was developed on."""
    root, folder = root_of(finished), finished.parent
    told = polarmap.predict(root, folder / "manifest.csv")
    assert told["outside"].mean() < 0.3
    assert told["relative_distance"].notna().all()
    assert ((told["relative_distance"] > 1) == (told["outside"] == 1)).all()
    lines = ["patient_id,tracer,stress,rest"]
    for number in range(12):
        for phase in ("stress", "rest"):
            counts = np.load(folder / f"{number:03d}-{phase}.npy")
            # The upper half dark: no development map has a defect there.
            turned = counts.copy()
            turned[:6] *= 0.3
            np.save(tmp_path / f"{number}-{phase}.npy", turned)
        lines.append(f"q{number},{('Tc-99m', 'Tl-201')[number % 2]},{number}-stress.npy,{number}-rest.npy")
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    odd = polarmap.predict(root, tmp_path / "manifest.csv")
    assert odd["outside"].mean() > 0.9
