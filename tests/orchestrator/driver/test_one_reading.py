"""A run looks at its directory once: what a call needs of the ledger is read together and handed on."""

from collections import Counter

import pytest

from orchestrator.ledger.state import RunState
from orchestrator.storage.local import LocalStorage

CELLS = 15
OVERRIDES = ('cohort.inputs=["stress", "rest", "dual"]', "folds.repeats=2", "search.candidates=1", "training.epochs=1")


class Counted:
    """How often the storage was asked, and for what."""

    def __init__(self) -> None:
        self.listings: list[str] = []
        self.reads: Counter[str] = Counter()

    @property
    def markers(self) -> Counter[str]:
        """Reads of markers, by their names."""
        return Counter(
            {name: n for name, n in self.reads.items() if name.endswith(("COMMIT.json", "test_predictions.json"))}
        )

    def clear(self) -> None:
        self.listings.clear()
        self.reads.clear()


@pytest.fixture
def counted(monkeypatch) -> Counted:
    """Counts listings and reads of local storage, which does its own work as always."""
    asked, names, read = Counted(), LocalStorage.names, LocalStorage.read

    def counting_names(self, folder):
        asked.listings.append(folder)
        return names(self, folder)

    def counting_read(self, name):
        asked.reads[name] += 1
        return read(self, name)

    monkeypatch.setattr(LocalStorage, "names", counting_names)
    monkeypatch.setattr(LocalStorage, "read", counting_read)
    return asked


@pytest.mark.thorough
def test_a_call_lists_the_run_once_and_reads_every_marker_at_most_once(tiny, run, paths_of, counted, no_runner):
    """On object storage each of these is a request: their number must not grow with the steps of a call."""
    assert run(tiny, *OVERRIDES).done_now == CELLS
    assert len(counted.listings) == 1
    assert not counted.markers, "what this call wrote itself is known"

    for left, open_test, listings in ((5, False, 1), (0, True, 2)):  # the second of these freezes the models
        cells = sorted(name for name in RunState.read(paths_of(tiny)).cells)
        for cell in cells[:left]:
            paths_of(tiny).in_cell(cell, "COMMIT.json").unlink()
        counted.clear()
        assert run(tiny, *OVERRIDES, open_test=open_test).done_now == left
        assert len(counted.listings) == listings
        # Models are verified against their markers once more before they judge the test exams.
        again = {name for name, n in counted.markers.items() if n > 1}
        assert all("-final/" in name for name in again) if open_test else not again
        assert max(counted.markers.values()) <= 2
        assert len(counted.markers) == CELLS - left

    counted.clear()
    assert run(tiny, *OVERRIDES, open_test=True, runner=no_runner).done_now == 0
    assert len(counted.listings) == 1
    assert counted.markers == Counter(dict.fromkeys(counted.markers, 1))
    assert len(counted.markers) == CELLS + 3


@pytest.mark.thorough
def test_a_report_after_training_reads_the_tables_that_were_just_written(tiny, run, counted):
    """Every part is read once, to be compacted, and the report is made from the tables."""
    run(tiny)
    parts = {name: n for name, n in counted.reads.items() if name.startswith("cells/") and "/candidates-" not in name}
    assert parts
    assert set(parts.values()) == {1}
    assert {name for name in counted.reads if name.startswith("tables/")} == {
        "tables/candidates.parquet",
        "tables/cells.parquet",
        "tables/compaction.json",
        "tables/epochs.parquet",
        "tables/predictions.parquet",
    }


@pytest.mark.thorough
def test_what_the_driver_knows_after_a_run_is_what_the_directory_holds(tiny, run, paths_of, monkeypatch):
    """The state in memory, kept by the driver's own commits, equals one that is read anew."""
    kept: list[RunState] = []
    read = RunState.read

    def remembered(paths):
        kept.append(read(paths))
        return kept[-1]

    monkeypatch.setattr(RunState, "read", remembered)
    run(tiny, open_test=True)
    monkeypatch.undo()
    (mine,) = kept
    anew = RunState.read(paths_of(tiny))

    assert (mine.cells, mine.tests, mine.candidates) == (anew.cells, anew.tests, anew.candidates)
    assert mine.is_reported
    assert anew.is_reported
    assert len(mine.cells) == 6
    assert len(mine.tests) == 2
