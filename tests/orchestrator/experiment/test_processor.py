"""bf16 on a processor without it: refused where that is known, said where it is not, never in the way of a GPU."""

import json
import platform
from pathlib import Path

import pytest
import torch

from mpi_model.errors import ExperimentError
from orchestrator.cli import main
from orchestrator.experiment import processor
from orchestrator.experiment.processor import (
    _features_in,
    _features_of_mac,
    _has_bf16,
    _processor_features,
    check_precision,
    precision_notices,
)

# Lines as real machines print them, shortened: an EPYC of Zen 3, a Xeon of Sapphire Rapids, an EPYC of Zen 4, a
# Graviton2 (Neoverse N1), a Graviton3 (Neoverse V1), and a chip of two kinds of ARM cores.
ZEN_3 = "processor\t: 0\nmodel name\t: AMD EPYC 7763\nflags\t\t: fpu sse sse2 sse4_1 avx avx2 fma bmi2 vaes\n"
SAPPHIRE_RAPIDS = "processor\t: 0\nflags\t\t: fpu sse4_1 avx avx2 avx512f avx512_bf16 amx_bf16 amx_tile amx_int8\n"
ZEN_4 = "processor\t: 0\nflags\t\t: fpu sse4_1 avx avx2 avx512f avx512bw avx512_bf16 avx512_vnni\n"
GRAVITON_2 = "processor\t: 0\nBogoMIPS\t: 243.75\nFeatures\t: fp asimd evtstrm aes crc32 atomics fphp asimddp\n"
GRAVITON_3 = "processor\t: 0\nFeatures\t: fp asimd evtstrm aes sve i8mm svebf16 bf16 dgh\n"
TWO_KINDS = "processor\t: 0\nFeatures\t: fp asimd bf16\n\nprocessor\t: 1\nFeatures\t: fp asimd\n"


def on(text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let the rest of the test run on the processor that this text describes."""
    described = tmp_path / "cpuinfo"
    described.write_text(text)
    monkeypatch.setattr(processor, "_CPUINFO", described)
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    _processor_features.cache_clear()


@pytest.fixture(autouse=True)
def _forget_the_processor():
    yield
    _processor_features.cache_clear()


@pytest.mark.parametrize(
    ("text", "native"),
    [
        (ZEN_3, False),
        (SAPPHIRE_RAPIDS, True),
        (ZEN_4, True),
        (GRAVITON_2, False),
        (GRAVITON_3, True),
        (TWO_KINDS, False),
    ],
)
def test_native_bf16_is_read_from_what_the_system_prints(text, native):
    """Both extensions of x86 and the feature of ARM count, and only when every core has them."""
    features = _features_in(text)
    assert features is not None
    assert _has_bf16(features) is native


def test_a_text_without_features_is_no_answer():
    """RISC-V prints `isa`, and some containers nothing: that is not a processor without bf16."""
    assert _features_in("processor\t: 0\nisa\t: rv64imafdc\n") is None
    assert _features_in("") is None
    assert [_features_of_mac(answer) is None for answer in ("1\n", "0\n", "", None)] == [False, False, True, True]


@pytest.mark.skipif(platform.system() != "Linux", reason="torch's own word is compared on Linux")
def test_this_machine_is_seen_as_torch_sees_it():
    """On the processor that runs this test, the text of the system and torch's own detection agree."""
    features = _processor_features()
    if features is None or platform.machine() not in {"x86_64", "AMD64"}:
        pytest.skip("torch does not tell the features of this kind of processor")
    capabilities = torch.cpu.get_capabilities()
    assert {name: name in features for name in ("avx2", "avx512_bf16", "amx_bf16")} == {
        name: capabilities[name] for name in ("avx2", "avx512_bf16", "amx_bf16")
    }


@pytest.mark.parametrize("text", [ZEN_3, GRAVITON_2])
def test_bf16_is_refused_with_feature_and_remedy(text, monkeypatch, tmp_path):
    """The line names what is needed, what is there and what to set."""
    on(text, monkeypatch, tmp_path)
    with pytest.raises(ExperimentError, match="AVX512_BF16 or AMX-BF16") as refusal:
        check_precision("bf16", "cpu")
    assert ("avx2" if text == ZEN_3 else "asimd") in str(refusal.value)
    assert 'precision` = "fp32"' in str(refusal.value)
    assert "gpus_per_cell" in str(refusal.value)
    assert len(refusal.value.problems) == 1


@pytest.mark.parametrize(
    ("text", "precision", "device"),
    [(ZEN_3, "fp32", "cpu"), (ZEN_3, "bf16", "cuda"), (ZEN_4, "bf16", "cpu"), ("", "bf16", "cpu")],
)
def test_everything_else_is_allowed(text, precision, device, monkeypatch, tmp_path):
    """Single precision, a GPU, a processor with bf16, and one that cannot be known are not refused."""
    on(text, monkeypatch, tmp_path)
    check_precision(precision, device)
    assert bool(precision_notices(precision, device)) == (text == "")


@pytest.mark.parametrize("verb", [["check"], ["run", "--runner", "inline"]])
def test_check_and_run_end_with_2_before_anything_is_written(verb, tiny, monkeypatch, tmp_path, capsys):
    """On a processor without bf16 no run directory appears, and the answer is one line."""
    on(ZEN_3, monkeypatch, tmp_path)
    assert main([verb[0], str(tiny), *verb[1:], "--set", "training.precision=bf16"]) == 2
    assert "AVX512_BF16" in capsys.readouterr().err
    assert not (tiny.parent / "runs").exists()


def test_check_accepts_bf16_where_it_is_native_or_a_gpu_is_asked_for(tiny, monkeypatch, tmp_path, capsys):
    """The same file is fine on another processor, and on this one with a GPU for each cell."""
    bf16 = ["--set", "training.precision=bf16"]
    on(ZEN_3, monkeypatch, tmp_path)
    assert main(["check", str(tiny), *bf16, "--set", "resources.gpus_per_cell=1"]) == 0
    on(SAPPHIRE_RAPIDS, monkeypatch, tmp_path)
    assert main(["check", str(tiny), *bf16]) == 0
    on("", monkeypatch, tmp_path)
    assert main(["check", str(tiny), *bf16]) == 0
    assert "cannot be read" in "".join(capsys.readouterr())


def test_check_reads_the_processor_without_torch(tiny, command_without):
    """The rule costs `check` no import of torch, whatever this machine's answer is."""
    found = command_without(["check", tiny, "--set", "training.precision=bf16"], "torch")
    features = _processor_features()
    assert found.returncode == (0 if features is None or _has_bf16(features) else 2), found.stderr


@pytest.mark.thorough
def test_a_finished_run_is_no_training(tiny, monkeypatch, tmp_path, capsys):
    """A run that was trained elsewhere is recognised, reported and opened on a processor without bf16."""
    on(ZEN_4, monkeypatch, tmp_path)
    command = ["run", str(tiny), "--runner", "inline", "--set", "training.precision=bf16"]
    few = ["--set", "search.candidates=1", "--set", "training.epochs=1", "--set", 'cohort.inputs=["stress"]']
    assert main([*command, *few]) == 0
    on(ZEN_3, monkeypatch, tmp_path)
    assert main([*command, *few, "--open-test"]) == 0
    assert json.loads((tiny.parent / "runs" / "tiny" / "experiment.json").read_text())
