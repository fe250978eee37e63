"""From the tables of a run to what a person reads.

records           RunTables in, Report out, the columns of the summary
models            predictions as the records that statistics take
rows              the summary's rows, refusals included
development_rows  what cross-validation says        held_out_rows  what the test partition says
subgroup_rows     both, by a column of the manifest comparison_rows  pairs of input configurations
summary           summarise: all of them, one row a method
evaluate          the same for predictions made elsewhere
compare           two runs with one fold plan       permutation    a run against its permuted siblings
layout            the summary as tables of a paper; tables (terminal), export (files) and figures print
them
"""
