"""Estimates, intervals and comparisons: pure functions over numpy arrays.

No function here takes rows: it takes a record of `orchestrator.statistics.scores`, in which a patient's exams
are known to be one patient's and the repeats of cross-validation are an axis, never more rows. No function
returns the standard error SD/√(folds · repeats), which covers about half of what it claims.

    scores            the records: Exams, PatientScores, FoldScores
    intervals         Interval, and the logit interval
    auc               AUC, DeLong's variance, Newcombe's method 5, the default rule
    cross_validation  the cross-validated AUC and its intervals
    proportions       sensitivity, specificity, balanced accuracy
    resampling        patient-stratified bootstrap, rank-swap permutation
    comparisons       two configurations on the same patients; Holm; the gate
    calibration       Brier score, calibration in the large, slope, smooth curve, net benefit
    chance            tests against an AUC of one half
    precision         the interval width to expect from counts
    variance          where the spread over cells comes from; which patients are unstable
"""
