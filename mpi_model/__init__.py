"""The network and its training. MPI is myocardial perfusion imaging, never message passing.

Importing this package imports no torch; `mpi_model.network`, `mpi_model.training` and their neighbours do.
"""
