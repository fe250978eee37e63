"""What `polarmap check` says beyond the cohort: the run directory of that name, and everything at once."""

import pickle
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mpi_model.backbones import build_encoder
from mpi_model.imagenet import checkpoint_path
from mpi_model.stages import backbone
from orchestrator.cli import main
from orchestrator.ledger.parts import _marker_bytes, marker_in


def test_check_says_what_a_run_would_go_on_from(mine, paths_of, capsys, folder_of):
    """Before anything is started, a person knows whether cells are kept and how many."""
    assert main(["check", str(mine)]) == 0
    assert "a run with 6 of 6 cells done\n" in capsys.readouterr().out
    marker = folder_of(mine) / "cells" / "stress-r00-f0" / "COMMIT.json"
    marker.write_bytes(_marker_bytes(replace(marker_in(marker.read_bytes()), state="failed")))
    (folder_of(mine) / "cells" / "dual-r00-f1" / "COMMIT.json").unlink()
    assert main(["check", str(mine)]) == 0
    assert "a run with 5 of 6 cells done, 1 of them failed\n" in capsys.readouterr().out


def test_check_refuses_a_name_that_another_experiment_has(mine, capsys):
    """A changed setting is named before `run` would meet it, with the same exit code."""
    assert main(["check", str(mine), "--set", "training.patience=2"]) == 2
    assert "differs in training.patience (6 -> 2)" in capsys.readouterr().err


def test_check_says_nothing_of_a_run_that_is_not_there(tiny, capsys):
    """A new experiment has nothing to go on from, and check makes no folder for it."""
    assert main(["check", str(tiny)]) == 0
    assert "run directory" not in capsys.readouterr().out
    assert not (tiny.parent / "runs").exists()


def test_problems_of_the_file_and_of_the_cohort_come_together(tiny, capsys):
    """One call of check shows what is wrong in both files."""
    manifest = tiny.parent / "manifest.csv"
    manifest.write_text(manifest.read_text().replace("patient-000,Tc-99m,0", "patient-000,Tc-99m,7"))
    assert main(["check", str(tiny), "--set", "training.patience=often"]) == 2
    said = capsys.readouterr().err.splitlines()

    assert len(said) == 2
    assert "`training.patience` must be a whole number" in said[0]
    assert "manifest row 1 (line 2): label must be 0 or 1" in said[1]


@pytest.mark.parametrize("verb", ["check", "run"])
def test_an_experiment_file_named_as_its_space_is_one_line(verb, tiny, capsys):
    """A file of the wrong kind is one mistake, not one for each of its tables."""
    assert main([verb, str(tiny), "--set", "search.space=experiment.toml"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "is not a search space" in line
    assert "[head_learning_rate]" in line


def _compact() -> dict[str, torch.Tensor]:
    return build_encoder("compact", torch.Generator().manual_seed(0), image_channels=1).state_dict()


def _half(path: Path) -> None:
    torch.save(_compact(), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _flipped(path: Path) -> None:
    """A bit of the first weight is another."""
    torch.save(_compact(), path)
    content, first = path.read_bytes(), next(iter(_compact().values())).numpy().tobytes()
    place = content.index(first)
    path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])


def _bomb(path: Path) -> None:
    """Zeros that unpack to a thousand times their size."""
    torch.save(_compact(), path.with_suffix(".whole"))
    with (
        zipfile.ZipFile(path.with_suffix(".whole")) as whole,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name in whole.namelist():
            archive.writestr(name, bytes(2**24) if name.endswith("/data/0") else whole.read(name))


def _with_first(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Path], None]:
    """Sound weights but for the first."""

    def make(path: Path) -> None:
        name, *_ = state = _compact()
        torch.save(state | {name: change(state[name])}, path)

    return make


NO_WEIGHTS: dict[str, Callable[[Path], object]] = {
    "bytes": lambda path: path.write_bytes(bytes(range(256)) * 20),
    "a page": lambda path: path.write_text("<!doctype html><title>404</title>"),
    "a pickle": lambda path: path.write_bytes(pickle.dumps({"a": 1})),
    "half of a file": _half,
    "one other bit": _flipped,
    "an archive that unpacks to much more": _bomb,
    "a name of a million letters": lambda path: torch.save(_compact() | {"x" * 10**6: torch.zeros(1)}, path),
    "a checkpoint around it": lambda path: torch.save({"state_dict": _compact(), "epoch": 3}, path),
    "of another network": lambda path: torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, path),
    "not a number": _with_first(lambda weight: weight * torch.nan),
    "beyond float32": _with_first(lambda weight: torch.full_like(weight, 1e300, dtype=torch.float64)),
    "whole numbers": _with_first(lambda weight: weight.to(torch.int8)),
    "complex numbers": _with_first(lambda weight: weight.to(torch.complex64)),
    "a sparse tensor": _with_first(lambda weight: weight.to_sparse()),
    "a shape alone": _with_first(lambda weight: weight.to("meta")),
    "a trillion numbers in four bytes": _with_first(lambda weight: torch.zeros(1).expand(10**12)),
}


@pytest.mark.parametrize("name", NO_WEIGHTS)
def test_check_says_of_weights_what_run_would_say(name, tiny, capsys):
    """A file that holds no weights of the network is refused before a run is begun, and in the run's own words."""
    NO_WEIGHTS[name](tiny.parent / "mine.pth")
    options = ["--set", "network.weights=mine.pth"]

    assert main(["check", str(tiny), *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "network.weights: " in line
    assert len(line) < 600
    assert main(["run", str(tiny), "--runner", "inline", *options]) == 2
    assert line in capsys.readouterr().err.splitlines()


def test_weights_of_ones_own_are_found_sound(tiny, capsys):
    """Parameters, as `named_parameters()` saves them, are weights like any others."""
    torch.save(
        {name: torch.nn.Parameter(value) if value.is_floating_point() else value for name, value in _compact().items()},
        tiny.parent / "mine.pth",
    )
    assert main(["check", str(tiny), "--set", "network.weights=mine.pth"]) == 0


def test_half_a_download_in_the_cache_is_found_without_torch(tiny, command_without):
    """ImageNet's weights are known by their digest, so that `check` stays light."""
    path = checkpoint_path(backbone("resnet18"))
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half of it")
    settings = ["network.backbone=resnet18", "network.weights=imagenet", "images.size=64"]
    found = command_without(["check", tiny, *(word for one in settings for word in ("--set", one))], "torch")

    assert found.returncode == 2, found.stderr
    assert "resnet18-f37072fd.pth has SHA-256" in found.stderr
