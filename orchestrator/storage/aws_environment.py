"""What the environment says of object storage, checked before the client reads it, which ends the process on some."""

import os
import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

from mpi_model.errors import RunDirectoryError

_LOOPBACK: Final = ("localhost", "127.", "::1")
_PRINTED: Final = re.compile(r"[!-~]+")
_VARIABLES: Final = {
    "AWS_ENDPOINT_URL": re.compile(
        r"https?://([A-Za-z0-9_-][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[\w.~/-]*)?"
    ),
    "AWS_REGION": re.compile(r"[A-Za-z0-9-]{1,60}"),
    "AWS_DEFAULT_REGION": re.compile(r"[A-Za-z0-9-]{1,60}"),
    "AWS_ACCESS_KEY_ID": _PRINTED,
    "AWS_SECRET_ACCESS_KEY": _PRINTED,
    "AWS_SESSION_TOKEN": _PRINTED,
}
"""What the client puts into addresses and headers without a look."""


def checked_endpoint() -> SplitResult:
    """Where AWS_ENDPOINT_URL leads; empty where it is not set.

    Raises:
        RunDirectoryError: It is no address, another variable cannot be what its name says, or data would travel
            unencrypted to another machine.
    """
    for name, form in _VARIABLES.items():
        if (value := os.environ.get(name)) and not form.fullmatch(value):
            raise RunDirectoryError(f"{name} in the environment is none; correct or unset it")
    endpoint = urlsplit(os.environ.get("AWS_ENDPOINT_URL", ""))
    near = (endpoint.hostname or "").startswith(_LOOPBACK)
    if endpoint.scheme == "http" and not near and os.environ.get("AWS_ALLOW_HTTP") != "true":
        raise RunDirectoryError(
            f"AWS_ENDPOINT_URL is plain http to {endpoint.hostname}: patients' ids would travel unencrypted; "
            "use https, or set AWS_ALLOW_HTTP=true on a network of your own"
        )
    return endpoint
