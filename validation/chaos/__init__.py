"""Faults at random moments of real runs, and what is left of the runs' tables."""
