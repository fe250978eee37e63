"""The figures of a report: each a function from a run's tables to a matplotlib figure, one file each.

- `drawing`: one look for all of them; a figure with its caption and data, and its files.
- `of_run`: all figures that a run's tables allow, in the order of the page.
"""
