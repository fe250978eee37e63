"""Packages that only some imports need."""

import importlib.util

from mpi_model.errors import ExperimentError


def require(package: str, part: str) -> None:
    """Say what to install, before a package is missed.

    Raises:
        ExperimentError: The package is not there.
    """
    if importlib.util.find_spec(package) is None:
        raise ExperimentError(f'this needs {package}; install it: pip install "polarmap-tune[{part}]"')
