"""A worker process's cache of tensors, bounded in bytes; the least recently used tensor is removed first.

Every entry is a pure function of its key, so that a full or an empty cache costs time and never changes a number.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from typing import Final

from torch import Tensor

_GIBIBYTE: Final = 2**30
_LIMITS: Final[Mapping[str, int]] = {"cpu": _GIBIBYTE, "cuda": 8 * _GIBIBYTE}
"""Bytes that a process keeps, by type of device. Constants: what is too large for them takes another path."""


class BoundedCache:
    """Tensors by key, at most so many bytes of them."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = 0
        self._entries: OrderedDict[Hashable, Tensor] = OrderedDict()

    def fits(self, size: int) -> bool:
        """Whether an entry of `size` bytes can be kept at all; never depends on what is kept now."""
        return size <= self.limit

    def get(self, key: Hashable, make: Callable[[], Tensor]) -> Tensor:
        """The entry of a key, made where it is missing.

        Older entries are removed after it was made, because they may help to make it; until then the cache may exceed
        its bound by this entry.

        Args:
            key: All that the entry depends on.
            make: Computes it; its bytes must fit.
        """
        if key in self._entries:
            self._entries.move_to_end(key)
            return self._entries[key]
        made = make()
        # Least recently used first; the new entry is not in the dictionary yet, so it is never the one removed.
        while self._entries and self.size + made.nbytes > self.limit:
            _, oldest = self._entries.popitem(last=False)
            self.size -= oldest.nbytes
        self._entries[key] = made
        self.size += made.nbytes
        return made

    def peek(self, key: Hashable) -> Tensor | None:
        """The entry of a key where there is one; it counts as used."""
        if key in self._entries:
            self._entries.move_to_end(key)
        return self._entries.get(key)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self.size = 0

    def __len__(self) -> int:
        return len(self._entries)


# One cache for all trainings of a process: the frozen stages' activations are shared by the cells it computes.
_CACHES: Final = {device: BoundedCache(limit) for device, limit in _LIMITS.items()}


def process_cache(device_type: str) -> BoundedCache:
    """The process's one cache of a type of device, shared by every training in it."""
    return _CACHES.setdefault(device_type, BoundedCache(_LIMITS["cpu"]))
