"""All parameters of the phantom, each with its unit and source.

Order of indexed values: by tracer as in `mpi_model.vocabulary.TRACERS` (Tc-99m, Tl-201); by sex (woman, man); by
vessel (LAD, LCX, RCA). "Assumption" marks a value without a published source, chosen so that the cohort agrees with
the measured statistics of `docs/phantom.md`.

Angles are in degrees, counter-clockwise, 0 lateral, 90 anterior, 180 septal, 270 inferior. Radii are 0 at the apex
and 1 at the mitral valve plane. A *drop* is the lost part of the uptake, 0 to 1.
"""

from dataclasses import dataclass
from typing import Final

SEXES: Final = ("F", "M")


@dataclass(frozen=True, slots=True, kw_only=True)
class GridParameters:
    """The polar sampling grid, one sample for each ring and angle."""

    rings: int = 16
    """Rings from apex to base. Vendors use 12 to 32 (assumption); 16 are 6 mm apart, half the resolution."""
    angles: int = 48
    """Samples around a ring, even. Vendors use 32 to 60 (assumption)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartParameters:
    """Size of the unrolled left ventricle."""

    circumference_mm: tuple[float, float] = (162.0, 184.0)
    """Mid-wall circumference at the base by sex: 150 to 200 mm overall; the split by sex is an assumption."""
    circumference_sd_mm: float = 11.0
    """Between patients of one sex (assumption)."""
    length_to_circumference: float = 0.52
    """Path from apex to base along the wall over the circumference (assumption: half an ellipsoid)."""
    cylinder_from: float = 0.7
    """Radius beyond which the circumference no longer grows; gives 30/34/36 % of the mass to the apical, middle
    and basal thirds, beside the 30/35/35 % of the AHA model (doi:10.1161/hc0402.102975)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalParameters:
    """Relative uptake without disease, and how it varies between patients and between scans.

    Anchor: the 55 normals of the SPECTF data (Tl-201, both sexes; doi:10.1016/S0933-3657(01)00082-3), whose
    inferior wall lies 13 % and anterior wall 8 % below the lateral wall. Which sex loses where: the same
    source. Their split into sexes, and Tc-99m, are assumptions around that anchor.
    """

    inferior_drop: tuple[float, float] = (0.08, 0.12)
    """Mean loss by the diaphragm at the inferior wall, Tc-99m, by sex."""
    anterior_drop: tuple[float, float] = (0.125, 0.07)
    """Mean loss by the breast at the anterior and anterolateral wall, Tc-99m, by sex."""
    thallium_factor: float = 1.25
    """Attenuation of 70 to 80 keV photons over that of 140 keV: 0.18 to 0.19 against 0.15 per cm in water."""
    inferior_cv: float = 0.28
    """Coefficient of variation of the inferior drop between patients of one sex (assumption; lognormal)."""
    anterior_cv: float = 0.5
    """The same of the anterior drop (assumption)."""
    attenuation_shift: float = 0.015
    """Standard deviation of a drop between two scans: the breast has moved (assumption)."""
    septal_drop: float = 0.02
    """Loss at the septum, which is farther from the camera (assumption)."""
    septal_shortening: float = 0.13
    """Loss at the membranous septum, outermost rings; SPECTF's basal septum lies 14 % below its lateral wall."""
    septal_shortening_cv: float = 0.5
    """Between patients (assumption)."""
    base_drop: float = 0.07
    """Partial volume at the valve plane, except at the anterolateral wall, which reaches farther. SPECTF's basal ends
    lie 10 to 16 % below their walls, its basal anterolateral region above all others."""
    apical_drop: float = 0.08
    """Apical thinning: about 10 %, up to 20 % (Eisner 2001)."""
    apical_drop_cv: float = 0.4
    """Between patients (assumption)."""
    patient_variation: float = 0.050
    """Standard deviation of the smooth pattern of a patient, the same in every scan (from SPECTF's between-patient
    standard deviations of 4 to 6 points and their stress-rest correlation of 0.62)."""
    scan_variation: float = 0.022
    """Standard deviation of the smooth pattern of one scan: position, reconstruction (from SPECTF's stress-rest
    standard deviations of 3.1 to 6.3 points, with the noise)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiseaseParameters:
    """Coronary disease: prevalence, location, size, depth, and the part that remains at rest."""

    prevalence: tuple[float, float] = (0.54, 0.70)
    """Patients with an obstructed vessel, by sex, at age 62 (assumption: referred patients)."""
    log_odds_per_year: float = 0.03
    """Change with age (assumption)."""
    vessels: tuple[float, float, float] = (0.72, 0.22, 0.06)
    """Patients with one, two and three obstructed vessels (assumption)."""
    vessel_weights: tuple[float, float, float] = (0.42, 0.25, 0.33)
    """How often the LAD, LCX and RCA are the first obstructed vessel (assumption; the trial of the territories
    had 24, 11 and 15 of 50)."""
    lad_lcx_border: tuple[float, float] = (-50.0, 65.0)
    """Mean anterolateral border at the apical end and at the base. Here and below: LAD alone feeds segments 1, 2, 7, 8,
    13, 14, 16, 17, LCX alone 6. LAD or LCX feeds 12, LAD or RCA 3, 9, 15, RCA or LCX 4, 5, 10, 11 (50 balloon
    occlusions, doi:10.1093/eurheartj/ehi496)."""
    lad_lcx_border_sd: float = 14.0
    """Between patients."""
    lad_rca_border: tuple[float, float] = (275.0, 200.0)
    """Mean inferoseptal border at the apical end and at the base."""
    lad_rca_border_sd: float = 16.0
    """Between patients."""
    rca_lcx_border: tuple[float, float] = (300.0, 305.0)
    """Mean inferolateral border at the apical end and at the base."""
    rca_lcx_border_sd: float = 22.0
    """Between patients; wide, as left and right dominance differ."""
    proximal_share: float = 0.16
    """Lesions that take most of a territory; the others take a branch or the distal part (assumption)."""
    distal_share: float = 0.55
    """LAD lesions, among those that are not proximal, that take the apex and its surroundings; the others take a
    diagonal or septal branch (assumption)."""
    branch_width: tuple[float, float] = (0.26, 0.58)
    """Width of a branch over that of its territory, uniform between the two (assumption)."""
    depth: tuple[float, float, float] = (1.8, 2.9, 0.72)
    """Loss of uptake in the middle of a stress defect: a Kumaraswamy variable with the first two numbers as shape,
    times the third. It is an assumption; viability ends near 60 % of the peak uptake."""
    least_depth: float = 0.06
    """Minimum of the depth, added to every defect (assumption)."""
    most_depth: float = 0.95
    """Maximum of the depth (assumption)."""
    scar_depth: float = 0.26
    """Added to the depth of a fixed defect, proportionally to a mixed one: scar is deeper than ischaemia
    (assumption)."""
    edge_mm: float = 6.0
    """Half-width of the border zone of a defect (assumption)."""
    kinds: tuple[float, float, float] = (0.32, 0.43, 0.25)
    """Shares of reversible, mixed and fixed defects. With them about 69 % of the abnormal exams, scored, are ischaemic
    and 31 % fixed (Elhendy, 327 exams). A shallow mixed defect scores as fixed. The split is an assumption."""
    mixed_fixed_share: tuple[float, float] = (0.4, 0.72)
    """Part of a mixed defect that stays at rest, uniform between the two (assumption)."""
    kind_agreement: float = 0.6
    """Chance that a patient's further defects are of the first one's kind anyway (assumption)."""
    redistribution_hours: tuple[float, float] = (3.25, 5.0)
    """Delay of the Tl-201 rest (redistribution) scan, uniform; 2 to 5 h in the SPECTF cohort."""
    washout_half_life_hours: tuple[float, float] = (5.3, 11.0)
    """Of Tl-201 in normal and in ischaemic myocardium: 0.156 and 0.076 % a minute in dogs, before and after
    ischaemia, taken as exponential."""
    washout_cv: float = 0.3
    """Between patients (assumption)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagingParameters:
    """The effects of the camera and the processing on the uptake."""

    resolution_mm: tuple[float, float] = (12.0, 14.5)
    """Full width at half maximum on the wall by tracer: 10 to 15 mm; Tl-201 1 to 2 mm worse."""
    peak_counts: tuple[tuple[float, float], tuple[float, float]] = ((620.0, 300.0), (130.0, 130.0))
    """Counts of the hottest sample by tracer and phase, before washout. Tc-99m rest is the low dose of a one-day
    protocol; Tl-201 gives 1/5 to 1/10 of the counts (assumption, from 10 to 15 times less activity)."""
    peak_counts_cv: float = 0.3
    """Between scans: dose, body size (assumption)."""
    noise_gain: float = 5.0
    """Variance of a reconstructed sample over its Poisson variance (assumption, set by the repeatability of a
    segment of about ±11 %, JNM 52:1204)."""
    rotation_sd_degrees: float = 4.0
    """Rotation of one map: ±5 to 10 degrees at most."""
    apex_shift_sd: float = 0.02
    """Error of the processing in placing the apex, in radii along the wall (assumption)."""
    stretch_sd: float = 0.025
    """Relative error of the processing in placing the base (assumption)."""
    truncation_share: float = 0.15
    """Scans whose base was cut wrongly over part of the circumference (assumption)."""
    truncation_depth: float = 0.35
    """Loss of the outermost ring there (assumption)."""
    spill_share: tuple[tuple[float, float], tuple[float, float]] = ((0.08, 0.22), (0.02, 0.04))
    """Scans with bowel or liver beside the inferior wall by tracer and phase: Tc-99m, mostly rest (shares are
    an assumption)."""
    spill: tuple[float, float] = (0.08, 0.35)
    """Extra uptake of the spill, uniform between the two (assumption)."""
    artefact_share: tuple[float, float] = (0.07, 0.07)
    """Patients with a strong attenuation artefact beyond the usual drop, by sex: breast or diaphragm; 31 of 267
    patients of SPECTF had an artefact alone."""
    artefact: tuple[float, float] = (0.08, 0.20)
    """Extra Tc-99m drop of such an artefact, uniform between the two (assumption)."""
    artefact_agreement: float = 0.75
    """Part of the artefact that stress and rest share; the remainder comes and goes (assumption)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelParameters:
    """From deficits to segment scores to the label that readers record."""

    score_edges: tuple[float, float, float, float] = (0.10, 0.22, 0.36, 0.52)
    """Mean deficit of a segment from which it scores 1, 2, 3 and 4 (assumption; the scale itself is LOINC
    82647-9)."""
    extent_deficit: float = 0.15
    """Myocardium with at least this deficit at stress counts as the extent of the defects (assumption)."""
    summed_stress: tuple[float, float] = (4.0, 4.0)
    """A summed stress score from here on is Tc-99m abnormal, Tl-201 intermediate or high risk; 0 to 3 is normal
    and low risk (doi:10.1161/01.cir.97.6.535)."""
    summed_difference: tuple[float | None, float | None] = (None, 3.0)
    """A summed difference score from here on means the same: 4 % of the myocardium ischaemic, inside the 1 to 10 %
    of intermediate risk (ESC 2013)."""
    readers: int = 2
    """Readers whose mean score decides the recorded label: a reading and its review (assumption)."""
    reader_cv: float = 0.63
    """Coefficient of variation of one reader's score around the true score; inter-reader ICC .56 (BMC 14:5)."""
    reader_sd: float = 1.3
    """Score points a reader adds or misses on any map (assumption)."""
    reader_difference_sd: float = 0.7
    """The same for the difference of two maps that are read side by side (assumption)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortParameters:
    """The composition of the cohort. The defaults give sizes like those of the reference study."""

    patients: int = 569
    """With the shares below: about 170 Tc-99m and 300 Tl-201 development exams, 23 and 110 test exams."""
    tracer_only: tuple[float, float] = (0.28, 0.66)
    """Share of patients studied with each tracer alone; the remaining patients were studied with both."""
    test_share: tuple[float, float, float] = (0.10, 0.275, 0.20)
    """Test patients among those with Tc-99m alone, Tl-201 alone, and both."""
    men: float = 0.58
    """Share of men (assumption)."""
    age_mean: float = 62.0
    """Years (assumption)."""
    age_sd: float = 10.5
    """Years (assumption)."""
    age_range: tuple[float, float] = (30.0, 90.0)
    """Years; ages outside are clipped."""
    missing: tuple[float, float] = (0.01, 0.05)
    """Share of exams without the stress phase, and of others without the rest phase (assumption)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomParameters:
    """All parameters of the phantom."""

    grid: GridParameters = GridParameters()
    heart: HeartParameters = HeartParameters()
    normals: NormalParameters = NormalParameters()
    disease: DiseaseParameters = DiseaseParameters()
    imaging: ImagingParameters = ImagingParameters()
    labels: LabelParameters = LabelParameters()
    cohort: CohortParameters = CohortParameters()
