"""Keyed pseudonyms for patients: only the holder of the key can reproduce them or link them to patients.

HMAC-SHA256 (RFC 2104) of the patient's id, its first 80 bits in base32: 16 letters and digits. A hash without a key
does not protect, because the possible ids are few enough to try them all.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable
from pathlib import Path
from typing import Final

from mpi_model.errors import ExperimentError
from mpi_model.regular_files import read_regular

_MIN_KEY_BYTES: Final = 16
_MAX_KEY_BYTES: Final = 2**20
# 80 bits: the probability that two of 100,000 patients share a pseudonym is below 1e-14.
_PSEUDONYM_BYTES: Final = 10
Pseudonym = Callable[[str], str]
"""From a patient's id to the pseudonym."""


def keep_id(patient: str) -> str:
    """Return the id unchanged: no pseudonym."""
    return patient


def pseudonyms(keyfile: Path) -> Pseudonym:
    """The function from a patient's id to the pseudonym.

    Args:
        keyfile: A file of secret bytes that only its owner can read.

    Raises:
        ExperimentError: The key cannot be read, is shorter than 16 bytes, or is readable by others.
    """
    key = read_key(keyfile)

    def pseudonym(patient: str) -> str:
        digest = hmac.new(key, patient.encode("utf-8"), hashlib.sha256).digest()
        return base64.b32encode(digest[:_PSEUDONYM_BYTES]).decode("ascii")

    return pseudonym


def read_key(keyfile: Path) -> bytes:
    """The secret key.

    Raises:
        ExperimentError: It cannot be read, is short, or can be read by others.
    """
    remedy = f"make one and store it apart from the cohort: head -c 32 /dev/urandom > {keyfile}; chmod 600 {keyfile}"
    try:
        key, mode = read_regular(keyfile, _MAX_KEY_BYTES), keyfile.stat().st_mode
    except OSError as error:
        raise ExperimentError(f"cannot read the key file {keyfile} ({error.strerror}); {remedy}") from error
    if mode & 0o077:  # any right of the group or of others
        raise ExperimentError(f"the key file {keyfile} is readable by others; restrict it: chmod 600 {keyfile}")
    if len(key) < _MIN_KEY_BYTES:
        raise ExperimentError(
            f"the key file {keyfile} must hold {_MIN_KEY_BYTES} bytes or more, but has {len(key)}; {remedy}"
        )
    return key
