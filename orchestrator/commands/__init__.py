"""What each verb of the command line does; imported by `orchestrator.cli` when the verb is called.

A module may hold several related verbs; each is a function from parsed arguments to an exit code.
"""
