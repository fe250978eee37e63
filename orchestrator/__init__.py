"""The implementation of polarmap: cohort, folds, search, runners, ledger, statistics, report, command line.

People import `polarmap`; what is in here may change without notice.
"""
