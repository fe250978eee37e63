"""A mean over exams whose uncertainty comes from patients: proportions, squared errors, net benefit."""

from dataclasses import dataclass

import numpy as np

from mpi_model.errors import StatisticsError
from orchestrator.statistics.scores import Exams, Flags, Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PatientMean:
    """The mean of a quantity over exams, kept by patient."""

    sums: Floats
    """`[P]`, the quantity summed over the patient's exams."""
    counts: Floats
    """`[P]`, the patient's exams; zero where the patient has none that counts."""

    @property
    def mean(self) -> float:
        """Σ sums / Σ counts."""
        return float(self.sums.sum() / self.counts.sum())

    @property
    def residuals(self) -> Floats:
        """`[P]`, sums − mean · counts; they add up to zero."""
        return self.sums - self.mean * self.counts

    @property
    def patient_count(self) -> int:
        """Patients with an exam that counts."""
        return int((self.counts > 0).sum())

    @property
    def variance(self) -> float:
        """Of the mean, over patients: the ratio estimator's, n/(n−1) Σ residual² / (Σ counts)².

        Raises:
            StatisticsError: There is a single patient.
        """
        patients = self.patient_count
        if patients < 2:
            raise StatisticsError("a variance over patients needs two of them")
        # A ratio of two sums, because patients differ in their number of exams; residuals already have mean 0.
        return patients / (patients - 1) * float((self.residuals**2).sum() / self.counts.sum() ** 2)

    def correlation(self, other: "PatientMean") -> float:
        """The correlation with another mean through the patients that count in both; 0 where one does not vary."""
        scale = float(np.sqrt((self.residuals**2).sum() * (other.residuals**2).sum()))
        return float((self.residuals * other.residuals).sum()) / scale if scale > 0 else 0.0


def mean_by_patient(values: Floats, exams: Exams, chosen: Flags | None = None) -> PatientMean:
    """Gather a quantity by patient.

    Args:
        values: `[N]`, or `[R, N]`, which is averaged over repeats first.
        exams: Whose exams they are.
        chosen: `[N]`, the exams that count; all when None.
    """
    # Repeats of an exam are one observation; they are averaged before anything is counted.
    averaged = values if values.ndim == 1 else values.mean(axis=0)
    mask = np.ones(exams.labels.size, dtype=np.bool_) if chosen is None else chosen
    patients, count = exams.patients[mask], exams.patient_count
    return PatientMean(
        sums=np.bincount(patients, averaged[mask], count).astype(np.float64),
        counts=np.bincount(patients, minlength=count).astype(np.float64),
    )
