"""`python -m orchestrator` is `polarmap`."""

from orchestrator.entry import entry_point

if __name__ == "__main__":
    entry_point()
