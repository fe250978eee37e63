"""A page on a cohort before anything is trained: what a network could learn beside the heart.

- `metadata`: prevalence of the label by site, sex and tracer, and how well metadata alone tell it; development only.
- `shift`: the test partition's maps and patients beside those of development; no label of the test partition is read.
- `storage`: files of several kinds, colour scales, near duplicates.
- `bulls_eyes`: means and standard deviations of the 17 segments. `page`: all of it as HTML.
- `single_maps`: maps of single patients, in a file of their own that is marked as identifying.
"""
