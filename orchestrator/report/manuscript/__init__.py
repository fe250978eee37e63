"""What a manuscript needs beside its results, from what a run has stored; no number is estimated here.

- `participants`: the flow from the manifest to the folds, which `figures.flow` draws.
- `characteristics`: Table 1 with standardised differences, and the exams left out against those included.
  `tables`: both as tables that know their numbers.
- `methods`: the methods paragraph, from `training_sentences` and `evaluation_sentences`, in the words of `wording`.
  `references`: the works it cites, as BibTeX.
- `checklists`: TRIPOD+AI and CLAIM, answered as far as a run can. `checklist_files`: as DOCX, HTML or CSV.
"""
