"""The bank of views and the cache that holds it."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from mpi_model.bounded_cache import BoundedCache, process_cache
from mpi_model.exams import input_tensor
from mpi_model.training_inputs import _VIEWS, _content_digest, _views_of

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _an_empty_cache() -> Iterator[None]:
    process_cache("cpu").clear()
    yield
    process_cache("cpu").clear()


@pytest.mark.parametrize("inputs", ["stress", "rest", "dual"])
def test_view_0_is_the_exam_itself(inputs: str, paint: Callable) -> None:
    """Compact storage loses nothing: view 0 has the bits that a prediction reads."""
    maps, _ = paint(70, channels=3)
    bank = _views_of(maps, inputs, seed=4, device=CPU)
    rows = np.array([69, 0, 33])
    assert torch.equal(bank.images(torch.from_numpy(rows)), input_tensor(maps, rows, inputs))


def test_the_other_views_are_small_changes_that_differ(paint: Callable) -> None:
    """Each exam has seven changed versions of its own, all near it."""
    maps, _ = paint(5)
    bank = _views_of(maps, "stress", seed=4, device=CPU)
    assert (bank.count, bank.exams) == (_VIEWS, 5)
    images = bank.images(torch.arange(_VIEWS * 5)).view(_VIEWS, 5, -1)
    for exam in range(5):
        distances = torch.cdist(images[:, exam], images[:, exam]) + torch.eye(_VIEWS)
        assert (distances > 1e-3).all()
        assert (images[1:, exam] - images[0, exam]).abs().mean() < 0.1


def test_views_that_are_too_many_to_keep_are_made_when_asked_for(
    paint: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cohort beyond the bound learns from the same pictures, bit for bit."""
    maps, _ = paint(20)
    places = torch.randperm(_VIEWS * 20, generator=torch.Generator().manual_seed(0))
    kept = _views_of(maps, "dual", seed=4, device=CPU)
    monkeypatch.setattr(process_cache("cpu"), "limit", maps.stress.nbytes)
    made = _views_of(maps, "dual", seed=4, device=CPU)
    assert made.changes is not None
    assert torch.equal(made.images(places[:32]), kept.images(places[:32]))


def test_views_depend_on_their_seed_alone(paint: Callable) -> None:
    """One seed, one bank; another seed, other changes; none, the exams alone."""
    maps, _ = paint(6)
    places = torch.arange(6, 12)
    first = _views_of(maps, "stress", seed=4, device=CPU).images(places)
    process_cache("cpu").clear()
    torch.manual_seed(8)
    assert torch.equal(_views_of(maps, "stress", seed=4, device=CPU).images(places), first)
    assert not torch.equal(_views_of(maps, "stress", seed=5, device=CPU).images(places), first)
    assert _views_of(maps, "stress", seed=None, device=CPU).count == 1


def test_stress_views_hold_nothing_of_rest(paint: Callable) -> None:
    """A stress input stays a function of the stress map, changed or not."""
    maps, _ = paint(6)
    before = _views_of(maps, "stress", seed=4, device=CPU).images(torch.arange(_VIEWS * 6))
    without = replace(maps, rest=np.zeros_like(maps.rest))
    after = _views_of(without, "stress", seed=4, device=CPU).images(torch.arange(_VIEWS * 6))
    assert torch.equal(before, after)


def test_the_cache_drops_the_least_recently_used() -> None:
    """Bytes stay within the bound, and what was asked for last stays longest."""
    cache = BoundedCache(100)
    made = []

    def ask(key: str, size: int) -> None:
        cache.get(key, lambda: made.append(key) or torch.zeros(size, dtype=torch.uint8))
        assert cache.size <= cache.limit

    for key, size in (("a", 40), ("b", 40), ("a", 40), ("c", 40), ("a", 40), ("b", 40), ("whole", 100), ("a", 40)):
        ask(key, size)
    assert "".join(made) == "abcbwholea"
    assert cache.fits(100)
    assert not cache.fits(101)


def test_a_digest_is_of_the_content() -> None:
    """Equal arrays have one digest wherever they lie; another value, type or shape has another."""
    base = np.arange(6, dtype=np.int32)
    found = [
        _content_digest("test", object(), {"a": array})
        for array in (base, base.copy(), base + 1, base.astype(np.int64), base.reshape(2, 3))
    ]
    assert found[0] == found[1]
    assert len(set(found)) == 4
