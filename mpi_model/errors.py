"""All errors that polarmap raises on purpose, as one tree.

    PolarmapError                    1   something that polarmap refuses or could not do
    ├── ExperimentError              2   the experiment file, or the way a command was called
    │   ├── SpaceError               2   a search space, or a space that does not fit its network
    │   ├── WeightsError             2   pretrained weights that are missing or of another network
    │   └── RunDirectoryError        2   a run directory of another experiment, locked, or not writable
    ├── CohortError                  3   manifest, images, labels
    │   └── FoldsError               3   a cohort that cannot be divided into the requested folds
    ├── StatisticsError              3   an estimate that the data at hand do not allow
    ├── IncompleteRunError           4   some cells failed; the others are kept
    └── TrainingDivergedError        1   a loss that is no longer a number; ends one candidate, not a cell

The number is the exit code of the command line. An error carries one or more problems, each one line: the
rule, the value found, the place, the remedy. A problem never holds a patient's id, a pixel or the path of a
patient's file; it names manifest rows. Every class takes its problems as positional strings, so that it
survives pickling on its way from a worker to the driver.
"""

from typing import ClassVar


class PolarmapError(Exception):
    """Root of the tree; see the module's docstring."""

    exit_code: ClassVar[int] = 1

    def __init__(self, *problems: str) -> None:
        super().__init__(*problems)

    @property
    def problems(self) -> tuple[str, ...]:
        """The problems, one line each."""
        return tuple(str(problem) for problem in self.args)

    def __str__(self) -> str:
        return "\n".join(self.problems)


class ExperimentError(PolarmapError, ValueError):
    """The experiment file is wrong, or a command was called in a way that cannot work."""

    exit_code = 2


class SpaceError(ExperimentError):
    """A search space is malformed, or asks for something its network does not have."""


class WeightsError(ExperimentError):
    """Pretrained weights are missing, damaged, or belong to another network."""


class RunDirectoryError(ExperimentError):
    """A run directory belongs to another experiment, is in use, or cannot be written."""


class CohortError(PolarmapError, ValueError):
    """The manifest, its images or its labels are not usable."""

    exit_code = 3


class FoldsError(CohortError):
    """The cohort cannot be divided as the experiment asks."""


class StatisticsError(PolarmapError, ValueError):
    """The data at hand do not allow the estimate that was asked for."""

    exit_code = 3


class IncompleteRunError(PolarmapError, RuntimeError):
    """Some cells of a run failed; the finished ones are kept."""

    exit_code = 4


class TrainingDivergedError(PolarmapError, RuntimeError):
    """A training loss stopped being a finite number."""
