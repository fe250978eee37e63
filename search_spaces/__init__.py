"""What a search may vary: named spaces and space files, declared as Optuna distributions.

A space is read by `search_spaces.catalog.load_space`, holds its parameters in `search_spaces.space`, and is
checked against the stages of the experiment's network without importing torch.
"""
