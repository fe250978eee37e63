"""Digests and seeds: the same words give the same number on every machine and in every process."""

import hashlib
import json
from collections.abc import Mapping, Sequence

Plain = None | bool | int | float | str | Sequence["Plain"] | Mapping[str, "Plain"]


def digest(value: object) -> str:
    """SHA-256, in hexadecimal, of plain values as canonical JSON (keys sorted, no spaces, UTF-8)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def derive_seed(*parts: str | int | None) -> int:
    """A seed in [0, 2**63) that depends on every part and on nothing else."""
    return int(digest(list(parts))[:16], 16) >> 1
