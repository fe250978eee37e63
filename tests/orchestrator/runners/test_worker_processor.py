"""A worker looks at its own processor: a cluster may have several kinds."""

import pytest

from orchestrator.cells.guard import run_guarded
from orchestrator.experiment import processor


@pytest.fixture
def without_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process on a processor of Zen 3."""
    monkeypatch.setattr(processor, "_processor_features", lambda: frozenset({"sse4_1", "avx", "avx2"}))


def test_a_cell_that_would_crawl_fails_with_its_reason(tiny, work_of, without_bf16):
    """bf16 on a worker without it costs no hours: the cell fails before its first candidate, and says why."""
    jobs, bench, _ = work_of(tiny, "training.precision=bf16")
    result = run_guarded(jobs[0].task, bench, (), lambda _: pytest.fail("a candidate was trained"))
    assert (result.state, result.fault) == ("failed", "")
    assert "AVX512_BF16" in result.reason
    assert result.host in result.reason


def test_single_precision_is_done_there(tiny, work_of, without_bf16):
    """The same worker does cells in single precision."""
    jobs, bench, _ = work_of(tiny, "search.candidates=1", "training.epochs=1")
    assert run_guarded(jobs[0].task, bench, (), lambda _: None).state == "complete"
