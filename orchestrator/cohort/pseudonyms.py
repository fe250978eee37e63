"""Keyed pseudonyms for patients: who has the key can make them again, and nobody else can tell whose they are.

HMAC-SHA256 (RFC 2104) of the patient's id, its first 80 bits in base32: 16 letters and digits. A hash without a key
would not do: ids are few enough to try them all.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable
from pathlib import Path
from typing import Final

from mpi_model.errors import ExperimentError

SHORTEST_KEY: Final = 16
"""Bytes."""
BYTES: Final = 10
Pseudonym = Callable[[str], str]


def as_it_is(patient: str) -> str:
    """No pseudonym."""
    return patient


def pseudonyms(keyfile: Path) -> Pseudonym:
    """What turns a patient's id into the patient's pseudonym.

    Args:
        keyfile: A file of secret bytes that only its user can read.

    Raises:
        ExperimentError: The key cannot be read, is short, or can be read by others.
    """
    key = read_key(keyfile)

    def pseudonym(patient: str) -> str:
        digest = hmac.new(key, patient.encode("utf-8"), hashlib.sha256).digest()
        return base64.b32encode(digest[:BYTES]).decode("ascii")

    return pseudonym


def read_key(keyfile: Path) -> bytes:
    """The secret key.

    Raises:
        ExperimentError: See `pseudonyms`.
    """
    remedy = f"make one and keep it away from the cohort: head -c 32 /dev/urandom > {keyfile}; chmod 600 {keyfile}"
    try:
        key, mode = keyfile.read_bytes(), keyfile.stat().st_mode
    except OSError as error:
        raise ExperimentError(f"cannot read the key file {keyfile} ({error.strerror}); {remedy}") from error
    if mode & 0o077:
        raise ExperimentError(f"the key file {keyfile} can be read by others; keep it to yourself: chmod 600 {keyfile}")
    if len(key) < SHORTEST_KEY:
        raise ExperimentError(
            f"the key file {keyfile} must hold {SHORTEST_KEY} bytes or more, but has {len(key)}; {remedy}"
        )
    return key
