"""A synthetic two-tracer cohort with known truth: `cohort.simulate`, `writer.write_cohort`, `preview.preview`."""
