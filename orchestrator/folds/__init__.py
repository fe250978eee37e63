"""Patient-stratified folds: strata, dealing, the plan and its inner splits."""
