"""`python -m polarmap` is the command `polarmap`."""

from orchestrator.cli import entry_point

if __name__ == "__main__":
    entry_point()
