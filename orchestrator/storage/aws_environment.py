"""What the environment says of object storage, checked before the client reads it, which ends the process on some."""

import ipaddress
import os
import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

from mpi_model.errors import RunDirectoryError

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
            raise RunDirectoryError(f"{name} in the environment has a value that is not valid; correct or unset it")
    endpoint = urlsplit(os.environ.get("AWS_ENDPOINT_URL", ""))
    if (
        endpoint.scheme == "http"
        and not _is_this_machine(endpoint.hostname or "")
        and os.environ.get("AWS_ALLOW_HTTP") != "true"
    ):
        raise RunDirectoryError(
            f"AWS_ENDPOINT_URL is plain http to {endpoint.hostname}: patients' ids would travel unencrypted; "
            "use https, or set AWS_ALLOW_HTTP=true on a network of your own"
        )
    return endpoint


def _is_this_machine(host: str) -> bool:
    # A name that only begins like an address of this machine may lead anywhere.
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
