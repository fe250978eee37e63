"""Tests this machine's GPU before its Ray node joins a cluster: `python -m orchestrator.clusters.gpu_check`.

Says one line, and ends with 0, or with 1 where CUDA does not work. With 1 the start command of the node fails, and a
cluster launcher ends the node.
"""

import sys

from mpi_model.gpu_check import check_gpu


def _main(device: str = "cuda") -> int:
    """Test the GPU; the exit code."""
    found = check_gpu(device)
    print(found.line, file=sys.stdout if found.is_fit else sys.stderr)
    return 0 if found.is_fit else 1


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:2]))
