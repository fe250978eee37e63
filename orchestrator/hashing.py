"""Digests and seeds that are the same on every machine and in every process."""

import hashlib
import json
from collections.abc import Mapping


def digest(value: object) -> str:
    """The SHA-256, in hexadecimal, of a JSON value.

    Args:
        value: Text, numbers, booleans, None, and lists and mappings of them.

    Returns:
        64 hexadecimal digits.
    """
    # One canonical text for each value: sorted keys, no spaces, UTF-8. NaN has no JSON form and is refused.
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def digest_as_stored(content: Mapping[str, object]) -> str:
    """The digest of what is written as JSON, as it will be read back: keys are text then, and tuples are lists."""
    return digest(json.loads(json.dumps(content)))


def derive_seed(*parts: str | int | None) -> int:
    """A seed in [0, 2**63) that depends on every part and on nothing else."""
    # 63 bits, because some libraries take signed 64-bit seeds only.
    return int(digest(list(parts))[:16], 16) >> 1
