"""Estimates, intervals and comparisons: pure functions over numpy arrays.

No function here takes rows: it takes a record of `orchestrator.statistics.scores`. There a patient's exams are known to
be one patient's, and the repeats of cross-validation are an axis, never more rows. No function returns the standard
error SD/√(folds · repeats), which covers about half of what it claims.

    scores                the records: Exams, PatientScores, FoldScores
    members               the members of a cell as one model
    intervals             Interval, the logit scale, square-and-add
    auc                   AUC, DeLong's variance, Newcombe's method 5, the default rule
    pairs                 the mean over pairs held out together, its variance over patients
    cross_validation      the cross-validated AUC, its variance and its interval
    patient_means         means over exams with the variance over patients
    proportions           sensitivity, specificity, balanced accuracy
    paired_proportions    differences of them on the same exams
    predictive_values     likelihood ratios, predictive values at a stated prevalence
    partial_auc           the part of the ROC curve with few false positives
    comparisons           two configurations on the same patients; Holm; the gate
    resampling            the rank-swap permutation test
    calibration           Brier score, calibration in the large, slope, smooth curve
    recalibration         intercept and slope refitted at a new centre
    net_benefit           net benefit of deciding by the probabilities
    chance                tests against an AUC of one half
    meta_analysis         random effects over sites
    map_distances         how unlike the development maps a new map is
    precision             before training: interval widths, the power of a comparison
    sample_size           after it: patients for the next study; the shift to another prevalence
    variance              where the spread over cells comes from; which exams are unstable
"""
