"""`python -m polarmap` is the command `polarmap`."""

from orchestrator.entry import entry_point

if __name__ == "__main__":
    entry_point()
