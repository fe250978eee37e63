"""From the tables of a run to what a person reads.

- `records`: `RunTables` in, `Report` out, the columns of the summary; `models`: predictions as statistics
take them - `rows`, `development_rows`, `held_out_rows`, `subgroup_rows`, `comparison_rows`: the rows of the
summary - `summary`: all of them, one row a method; `evaluate`: the same for predictions made elsewhere
- `compare`: two runs with one fold plan; `permutation`: a run against its permuted siblings
- `layout`, `layout_of_run`: the tables of a paper, which `tables` (terminal) and `export` (files) print;
`figures`
"""
