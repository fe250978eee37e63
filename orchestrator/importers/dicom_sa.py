"""Reconstructed short-axis volumes (DICOM NM) as polar maps.

A first pass reads the tags of every file, a second one the pixels of what is used. Files that are something else
(other modalities, projections, long axes) are left out and counted; of a short-axis volume that cannot be used, the
import says why and writes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from mpi_model.errors import CohortError
from mpi_model.vocabulary import Tracer
from orchestrator.cohort.problems import Problem
from orchestrator.importers.dicom_files import is_dicom, read_dicom, reading_tags
from orchestrator.importers.dicom_tags import TagFacts, slice_direction, tag_facts
from orchestrator.importers.dicom_volumes import image_kind, short_axis_volume
from orchestrator.importers.found_maps import FoundMap, ReadMap
from orchestrator.importers.import_request import FoundSource, ImportRequest, source_record, write_found
from orchestrator.importers.limits import proposed_limits
from orchestrator.importers.limits_drawing import PANELS, limits_panels
from orchestrator.importers.short_axis import LIMITS, Sampling, disc_image, polar_samples, with_overrides
from orchestrator.importers.source_files import Source, SourceFile, file_problem
from orchestrator.importers.supplied_facts import FileFacts, read_files_table
from orchestrator.importers.written_cohort import WrittenCohort, check_new_folder

_COLUMNS: Final = frozenset({"view", "direction", "orientation", "confirmed", *(f"{name}_mm" for name in LIMITS)})
"""Columns of `--files` beside the common ones."""
_ORIENTATIONS: Final[Mapping[str, bool | None]] = {"standard": False, "mirrored": True, "": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    """A short-axis volume before it is decided which of several is used."""

    found: FoundMap
    gated: bool
    corrected: bool


def import_dicom_sa(
    request: ImportRequest,
    *,
    sampling: Sampling,
    tracer: Tracer | None = None,
    direction: Literal["apex-to-base", "base-to-apex"] | None = None,
    attenuation: Literal["corrected", "uncorrected"] | None = None,
) -> WrittenCohort:
    """Write a cohort of short-axis volumes.

    Args:
        request: Source, folder to write and what all imports share.
        sampling: Rings, angles and size of the maps.
        tracer: Of volumes whose tags and row of `--files` do not say it.
        direction: Of slices, likewise.
        attenuation: Which volume is taken where an exam has a corrected and an uncorrected one of a phase.

    Raises:
        CohortError: Anything is wrong with the source; all of it at once.
        ExperimentError: A setting, or the folder to write, cannot be used.
    """
    # Settings and folder first: reading a department's files takes long.
    sampling.check()
    check_new_folder(request.folder)
    supplied = read_files_table(request.files, _COLUMNS)
    with Source(request.source) as source:
        scan = _Scan(supplied_tracer=tracer, supplied_direction=direction)
        for file in source.files:
            scan.look_at(file, supplied.of(file), source)
        maps, resolved = _one_of_each(scan.candidates, attenuation)
        by_number = {file.number: file for file in source.files}
        found = FoundSource(
            importer="dicom-sa",
            record=source_record(source, [by_number[each.file] for each in maps]),
            maps=maps,
            problems=[*source.problems, *supplied.unmatched(source.files), *scan.problems],
            settings={
                "rings": sampling.rings, "angles": sampling.angles, "size": sampling.size,
                "tracer": tracer, "direction": direction, "attenuation": attenuation,
            },
            decisions={**scan.left_out, **resolved},
            panels=PANELS,
        )  # fmt: skip
        return write_found(
            request,
            found,
            lambda each: _read_map(
                source, by_number[each.file], supplied.of(by_number[each.file]), scan.directions[each.file], sampling
            ),
        )


class _Scan:
    """The first pass over the files."""

    def __init__(
        self, *, supplied_tracer: Tracer | None, supplied_direction: Literal["apex-to-base", "base-to-apex"] | None
    ) -> None:
        self.tracer = supplied_tracer
        self.direction = supplied_direction
        self.candidates: list[_Candidate] = []
        self.directions: dict[int, str] = {}
        self.problems: list[Problem] = []
        self.left_out: dict[str, int] = {}

    def look_at(self, file: SourceFile, supplied: FileFacts, source: Source) -> None:
        """Take a file, leave it out, or say what is wrong with it."""
        try:
            why = "skipped by --files" if supplied.skipped else self._take(file, supplied, source.read(file))
        except CohortError as error:
            self.problems += [file_problem(file.number, "unusable file", line) for line in error.problems]
            return
        # Left out and counted, not refused: a folder of a department holds many other files.
        if why:
            self.left_out[why] = self.left_out.get(why, 0) + 1

    def _take(self, file: SourceFile, supplied: FileFacts, content: bytes) -> str:
        """Add the file to the candidates; returns why it is left out, if it is."""
        if not is_dicom(content):
            return "not DICOM"
        with reading_tags():
            data = read_dicom(content, pixels=False)
            if not data.get("Modality"):
                raise CohortError("the header has no Modality: the file is cut off; export it again, or skip it")
            kind = image_kind(data)
            facts, tagged = (tag_facts(data), slice_direction(data)) if kind else (None, "")
        if facts is None:
            return "not a reconstructed emission volume"
        view = supplied.more.get("view", "").casefold()
        short_axis = view == "sa" if view else facts.short_axis
        if short_axis is False:
            return "another view than the short axis"
        direction = supplied.more.get("direction") or tagged or self.direction or ""
        problems = _missing(facts, supplied, short_axis, direction, self.tracer)
        self.problems += [file_problem(file.number, "unknown facts", line) for line in problems]
        if not problems:
            self.directions[file.number] = direction
            found = _found_map(file, facts, supplied, self.tracer)
            self.candidates.append(
                _Candidate(found=found, gated=kind == "gated", corrected=facts.attenuation_corrected)
            )
        return ""


def _missing(
    facts: TagFacts, supplied: FileFacts, short_axis: bool | None, direction: str, tracer: Tracer | None
) -> list[str]:
    """What neither tags nor the user say, and where tags contradict one another."""
    lines = []
    if short_axis is None:
        lines.append("no tag says which view this is; say `view` in --files: SA, or skip the file")
    if not (facts.patient or supplied.patient):
        lines.append("Patient ID is blank; say `patient_id` in --files")
    if len(facts.phases) != 1 and supplied.phase is None:
        what = "contradict one another on" if facts.phases else "do not say"
        lines.append(f"the tags {what} stress or rest; say `phase` in --files")
    if len(facts.tracers) > 1 and supplied.tracer is None:
        lines.append("the tags contradict one another on the tracer; say `tracer` in --files")
    if not facts.tracers and supplied.tracer is None and tracer is None:
        lines.append("the tags do not say the tracer; say `tracer` in --files, or --tracer for all")
    if direction not in {"apex-to-base", "base-to-apex"}:
        lines.append(
            "Slice Progression Direction is not there; say `direction` in --files or --direction for all: apex-to-base "
            "or base-to-apex (a program's own order seldom changes: look at one file)"
        )
    if supplied.more.get("orientation", "") not in _ORIENTATIONS:
        lines.append("`orientation` of --files must be standard or mirrored")
    return lines


def _found_map(file: SourceFile, facts: TagFacts, supplied: FileFacts, tracer: Tracer | None) -> FoundMap:
    chosen = supplied.tracer or next(iter(facts.tracers), tracer)
    phase = supplied.phase or next(iter(facts.phases), None)
    if chosen is None or phase is None:  # reported by `_missing` already
        raise CohortError("the tags do not say tracer and phase")
    return FoundMap(
        file=file.number,
        patient=supplied.patient or facts.patient,
        tracer=chosen,
        phase=phase,
        exam=supplied.exam,
        date=supplied.date or facts.date,
        columns={name: text for name, text in (("sex", facts.sex), ("age", facts.age)) if text},
    )


def _one_of_each(
    candidates: Sequence[_Candidate], attenuation: Literal["corrected", "uncorrected"] | None
) -> tuple[list[FoundMap], dict[str, int]]:
    """Of a corrected and an uncorrected volume the one asked for, of a gated and an ungated one the ungated.

    They have to be of one patient, tracer, phase, day and exam; whatever else is there twice, `group_exams` refuses.
    """
    groups: dict[object, list[_Candidate]] = {}
    for each in candidates:
        key = (each.found.patient, each.found.tracer, each.found.phase, each.found.date, each.found.exam)
        groups.setdefault(key, []).append(each)
    kept: list[FoundMap] = []
    counts = {"volumes left out for the other attenuation correction": 0, "gated volumes beside ungated ones": 0}
    for group in groups.values():
        chosen = group
        if attenuation and len({each.corrected for each in group}) > 1:
            # Never chosen silently: attenuation correction changes the pattern of a normal map (the inferior wall).
            chosen = [each for each in group if each.corrected == (attenuation == "corrected")]
            counts["volumes left out for the other attenuation correction"] += len(group) - len(chosen)
        if len({each.gated for each in chosen}) > 1:
            # Both are the same photons; the ungated volume needs no summing.
            ungated = [each for each in chosen if not each.gated]
            counts["gated volumes beside ungated ones"] += len(chosen) - len(ungated)
            chosen = ungated
        kept += [each.found for each in chosen]
    return sorted(kept, key=lambda found: found.file), counts


def _read_map(source: Source, file: SourceFile, supplied: FileFacts, direction: str, sampling: Sampling) -> ReadMap:
    with reading_tags():
        data = read_dicom(source.read(file), pixels=True)
        volume = short_axis_volume(data, direction, mirrored=_ORIENTATIONS[supplied.more.get("orientation", "")])
    # A search that fails must not stop a user who has given every limit.
    all_supplied = all(supplied.more.get(f"{name}_mm") for name in LIMITS)
    proposed = None if all_supplied else proposed_limits(volume)
    limits = with_overrides(proposed, supplied.more, volume.spacing)
    samples = polar_samples(volume, limits, sampling)
    peak, confirmed = float(samples.max()), supplied.more.get("confirmed", "").casefold() in {"yes", "1", "true"}
    whose = "said" if any(supplied.more.get(f"{name}_mm") for name in LIMITS) else "proposed"
    return ReadMap(
        # 32-bit: counts of a peak need no more, and the PNG has 16.
        pixels=disc_image(samples, sampling.size).astype("float32"),
        measured={
            **limits.recorded(),
            "peak_counts": round(peak, 1),
            "limits": whose,
            "confirmed": confirmed,
        },
        caption=f"radius {limits.radius:.0f} mm, length {limits.base - limits.apex:.0f} mm, "
        f"{peak:.0f} counts at the peak, limits {whose}{', confirmed' if confirmed else ''}",
        drawing=limits_panels(volume, limits),
    )
