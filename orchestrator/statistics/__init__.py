"""Estimates, intervals and comparisons: pure functions over numpy arrays.

No function here takes rows: it takes a record of `orchestrator.statistics.scores`, in which a patient's exams
are known to be one patient's and the repeats of cross-validation are an axis, never more rows. No function
returns the standard error SD/√(folds · repeats), which covers about half of what it claims.

    scores                the records: Exams, PatientScores, FoldScores
    members               what several networks of a cell are together
    intervals             Interval, the logit scale, square-and-add
    auc                   AUC, DeLong's variance, Newcombe's method 5, the default rule
    cross_validation      the cross-validated AUC, its variance and its interval
    patient_means         means over exams with the variance over patients
    proportions           sensitivity, specificity, balanced accuracy
    paired_proportions    differences of them on the same exams
    predictive_values     likelihood ratios, predictive values at a stated prevalence
    partial_auc           the part of the ROC curve with few false positives
    comparisons           two configurations on the same patients; Holm; the gate
    resampling            the rank-swap permutation test
    calibration           Brier score, calibration in the large, slope, smooth curve
    net_benefit           whether deciding by the probabilities is of use
    chance                tests against an AUC of one half
    precision             before training: interval widths, the power of a comparison
    sample_size           after it: patients for the next study; the shift to another prevalence
    variance              where the spread over cells comes from; which patients are unstable
"""
