"""The driver of a run: prepare, resume, train, open the test, predict; the straight line is `run.py`."""
