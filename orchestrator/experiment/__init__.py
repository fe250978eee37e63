"""The experiment file: its records, its reading, its rules."""
