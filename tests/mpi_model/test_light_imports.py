"""Checks of an experiment start at once, because nothing heavy is imported for them."""

import subprocess
import sys


def test_the_vocabulary_and_the_table_of_stages_need_no_torch() -> None:
    """`polarmap check` answers in a fraction of a second: torch alone takes several."""
    code = (
        "import sys, mpi_model, mpi_model.stages, mpi_model.settings, mpi_model.vocabulary, mpi_model.maps\n"
        "mpi_model.stages.backbone('resnet18')\n"
        "print(sorted({'torch', 'torchvision', 'safetensors'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
