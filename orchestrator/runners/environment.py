"""Environment variables that other libraries read, Ray's above all: when it is imported and when it is started."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

_FOR_RAY: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",  # no usage statistics are sent
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # under `uv run` Ray would ship the working directory, cohort included
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the ledger is the record; the loggers cost a second a trial
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # an interrupt ends the run at once; it is resumed from the ledger
    "TUNE_MAX_PENDING_TRIALS_PG": "16",  # a searcher of one's own gets one: slots would wait for each other
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # a loss is reported in one line of ours, and the cell is tried again
    "TUNE_WARN_THRESHOLD_S": "60",  # writing the ledger is part of a callback
    "RAY_TRAIN_COUNT_PREEMPTION_AS_FAILURE": "1",  # else Tune begins such a cell anew itself: its candidates forgotten
    "RAY_timeout_ms_task_wait_for_death_info": "60000",  # until the head knows whether worker or node died
    "RAY_DEDUP_LOGS_SKIP_REGEX": "^",  # Ray's own lines on losses, on standard output; each is reported in one of ours
    "RAY_worker_niceness": "0",  # with Ray's 15 two busy processes beside leave its workers 4 % of two cores
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
}


def prepare_for_ray() -> None:
    """Set what is not set by the user."""
    for name, value in _FOR_RAY.items():
        os.environ.setdefault(name, value)


@contextmanager
def changed_environment(values: Mapping[str, str]) -> Iterator[None]:
    """Some environment variables set for a while; afterwards they are what they were, or absent again."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
