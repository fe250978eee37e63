"""A cell: one (inputs, repeat, fold), from its training patients to predictions, as a pure function."""
