"""The check of a Ray cluster file: its lines, the rules that judge it, a dated price table."""
