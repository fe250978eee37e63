"""From the tables of a run to its report.

- `records`: `RunTables` in, `Report` out, the names of measures. `models`: predictions as the statistics take them.
- `rows`, `development_rows`, `held_out_rows`, `calibration_rows`, `site_rows`, `subgroup_rows`, `comparison_rows`:
  the rows of the summary.
- `summary`: all of them, one row a method. `evaluate`: the same for predictions made elsewhere.
- `compare`: two runs with one fold plan. `permutation`: a run and the same pipeline on permuted labels.
  `validation`: the cohorts of other centres, and their case mix.
- `layout`, `summary_tables`, `layout_of_run`: the tables of a paper, which `terminal.tables` and `export` print.
  `traced`: numbers with the table and key they come from. `readings`: what an interval says in words, by rules.
- `figures/`: each a function from tables to a figure. `page/`: the HTML page, a template a section; `run_extracts`:
  what its sections say beyond summary and figures. `manuscript/`: flow, Table 1, methods, checklists;
  `manuscript_of_run` makes them of a run.
- `cohort_page/`: a page on a cohort before training.
- `build`: the report of a run, written into its directory. `stored`: the same around a summary that was written.
"""
