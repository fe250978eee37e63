"""Search spaces of hyperparameters: built-in ones and users' own files, declared as Optuna distributions.

`search_spaces.catalog.load_space` reads a space and checks it against the stages of the experiment's network, without
importing torch.
"""
