"""What a worker process computed once and may need again: tensors, bounded in bytes, least recently used out.

Every entry is a pure function of its key, so that a full or an empty cache costs time and never changes a number.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

GIBIBYTE: Final = 2**30
LIMITS: Final[Mapping[str, int]] = {"cpu": GIBIBYTE, "cuda": 8 * GIBIBYTE}
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

        Room is made afterwards, so that what is kept can help to make it; until then the bound is exceeded by it.

        Args:
            key: All that the entry depends on.
            make: Computes it; its bytes must fit.
        """
        if key in self._entries:
            self._entries.move_to_end(key)
            return self._entries[key]
        made = make()
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


_CACHES: Final = {device: BoundedCache(limit) for device, limit in LIMITS.items()}
_LAST_DIGEST: Final[dict[str, tuple[object, str]]] = {}


def process_cache(device_type: str) -> BoundedCache:
    """The process's one cache of a type of device, shared by every training in it."""
    return _CACHES.setdefault(device_type, BoundedCache(LIMITS["cpu"]))


def content_digest(kind: str, owner: object, arrays: Mapping[str, NDArray[np.generic]]) -> str:
    """SHA-256 of arrays, their names, types and shapes; remembered for the last owner of each kind.

    Args:
        kind: What is digested, for example `maps`.
        owner: The object that holds the arrays, never changed while it lives; recognised by identity.
        arrays: The content.
    """
    if kind in _LAST_DIGEST and _LAST_DIGEST[kind][0] is owner:
        return _LAST_DIGEST[kind][1]
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).data if array.size else b"")
    _LAST_DIGEST[kind] = (owner, digest.hexdigest())
    return _LAST_DIGEST[kind][1]
