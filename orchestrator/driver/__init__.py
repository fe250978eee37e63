"""The steps of a run in the driver process: prepare, resume, train, open the test, predict; the line is `run.py`."""
