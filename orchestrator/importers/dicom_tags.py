"""What the tags of a nuclear medicine file say: view, tracer, phase, patient.

All tags that say something have to agree; where they do not, the file is refused until `--files` decides. Codes are
compared by their value alone, because vendors write them under other schemes than the standard's. A text that
speaks of both phases or both tracers says nothing.

- Phase: Acquisition Context (CP-351 chose it, because the label describes the state at injection), and the texts of
  Image ID, Series Description and Protocol Name. Procedure codes name both phases of a protocol and are not used.
- Tracer: radionuclide and radiopharmaceutical codes, the radiopharmaceutical's text, and the energy windows.
- View: View Code alone where it is there; else Slice Progression Direction (only short axes run between apex and
  base), else Series Description.
"""

import datetime
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from pydicom.dataset import Dataset

from mpi_model.vocabulary import Phase, Tracer
from orchestrator.cohort.spellings import tracer_of
from orchestrator.importers.supplied_facts import date_of

_SHORT_AXIS_CODES: Final = frozenset({"103340004", "G-A186"})
_PATIENT_STATE: Final = "109054"
_STRESS_CODES: Final = frozenset({"432655005", "F-05019", "109091"})
_REST_CODES: Final = frozenset({"128975004", "F-01604", "109092", "109093", "109094"})
"""Redistribution and reinjection of thallium-201 stand for rest (CID 3101: 109092 to 109094)."""
_PHASE_CODES: Final[dict[str, Phase]] = {
    **dict.fromkeys(_STRESS_CODES, "stress"),
    **dict.fromkeys(_REST_CODES, "rest"),
}
_TECHNETIUM_CODES: Final = frozenset({"72454006", "C-163A8", "424299003", "C-163AB", "424118002", "C-163AD"})
_THALLIUM_CODES: Final = frozenset({"60057003", "C-138A9", "73685002", "C-B1231", "353842007", "C-B1130"})
_TRACER_CODES: Final[dict[str, Tracer]] = {
    **dict.fromkeys(_TECHNETIUM_CODES, "Tc-99m"),
    **dict.fromkeys(_THALLIUM_CODES, "Tl-201"),
}
_STRESS_WORDS: Final = re.compile(r"\b(stress|str|exercise|sgate|adenosine|regadenoson|dipyridamole|dobutamine)\b")
_REST_WORDS: Final = re.compile(r"\b(rest|rst|rgate|redist\w*|reinj\w*|delayed)\b")
_SHORT_AXIS_WORDS: Final = re.compile(r"\b(sa|sax|short ?ax\w*)\b")
_OTHER_VIEW_WORDS: Final = re.compile(r"\b(hla|vla|long ?ax\w*|trans\w*|tra|coronal|sagittal|axial)\b")
_OLDEST: Final = 89


@dataclass(frozen=True, slots=True, kw_only=True)
class TagFacts:
    """What the tags of one file say, and nothing else of it. Sets with two values are contradictions."""

    patient: str
    phases: frozenset[Phase]
    tracers: frozenset[Tracer]
    short_axis: bool | None
    """None where no tag says which view it is."""
    date: datetime.date | None
    sex: str
    age: str
    attenuation_corrected: bool


def tag_facts(data: Dataset) -> TagFacts:
    """Read the tags of the allow-list."""
    sex = str(data.get("PatientSex", "") or "").strip().upper()
    return TagFacts(
        patient=str(data.get("PatientID", "") or "").strip(),
        phases=_phases_by_code(data).union(*map(_phases_of_text, _phase_texts(data))),
        tracers=_tracers_by_code(data) | _tracers_by_text(data) | _tracers_by_window(data),
        short_axis=_short_axis(data),
        date=_date(data),
        sex=sex if sex in {"F", "M", "O"} else "",
        age=_age(data),
        attenuation_corrected="ATTN" in _texts(data.get("CorrectedImage")),
    )


def _phases_by_code(data: Dataset) -> frozenset[Phase]:
    found = set()
    for item in data.get("AcquisitionContextSequence") or []:
        if _PATIENT_STATE in _codes(item.get("ConceptNameCodeSequence")):
            found |= {_PHASE_CODES[code] for code in _codes(item.get("ConceptCodeSequence")) if code in _PHASE_CODES}
    return frozenset(found)


def _phase_texts(data: Dataset) -> Iterator[str]:
    for name in ("ImageID", "SeriesDescription", "ProtocolName"):
        yield str(data.get(name, "") or "")


def _phases_of_text(text: str) -> frozenset[Phase]:
    words = re.sub(r"[\W_]+", " ", text.casefold())
    stress, rest = bool(_STRESS_WORDS.search(words)), bool(_REST_WORDS.search(words))
    # Neither or both, as in “stress/rest protocol”: no evidence.
    if stress == rest:
        return frozenset()
    return frozenset({"stress"} if stress else {"rest"})


def _tracers_by_code(data: Dataset) -> frozenset[Tracer]:
    items = list(data.get("RadiopharmaceuticalInformationSequence") or [])
    names = ("RadionuclideCodeSequence", "RadiopharmaceuticalCodeSequence")
    codes = [code for item in items for name in names for code in _codes(item.get(name))]
    codes += [str(item.get("Radiopharmaceutical", "") or "") for item in items]  # some write a code into the text
    found = {_TRACER_CODES[code] for code in codes if code in _TRACER_CODES}
    # Two items are a dual-isotope study: which of them this volume shows, the energy windows say.
    return frozenset(found) if len(found) == 1 or len(items) == 1 else frozenset()


def _tracers_by_text(data: Dataset) -> frozenset[Tracer]:
    items = list(data.get("RadiopharmaceuticalInformationSequence") or [])
    found = {tracer for item in items if (tracer := tracer_of(str(item.get("Radiopharmaceutical", "") or "")))}
    return frozenset(found) if len(found) == 1 else frozenset()


def _tracers_by_window(data: Dataset) -> frozenset[Tracer]:
    """Technetium's photons have 140.5 keV, thallium's 68 to 80 and 167."""
    found: set[Tracer] = set()
    for item in data.get("EnergyWindowInformationSequence") or []:
        for window in item.get("EnergyWindowRangeSequence") or []:
            low, high = _number(window.get("EnergyWindowLowerLimit")), _number(window.get("EnergyWindowUpperLimit"))
            # A window wider than 50 keV may hold the peaks of both tracers and says nothing.
            if low < 140.5 < high and high - low < 50:
                found.add("Tc-99m")
            elif (low < 72 < high and high < 100) or (low < 167 < high and high - low < 60):
                found.add("Tl-201")
    return frozenset(found) if len(found) == 1 else frozenset()


def _short_axis(data: Dataset) -> bool | None:
    codes = set(_codes(data.get("ViewCodeSequence")))
    # A code is there for machines, so it wins over descriptions that people type.
    if codes:
        return bool(codes & _SHORT_AXIS_CODES)
    if slice_direction(data):
        return True
    words = re.sub(r"[\W_]+", " ", str(data.get("SeriesDescription", "") or "").casefold())
    short, other = bool(_SHORT_AXIS_WORDS.search(words)), bool(_OTHER_VIEW_WORDS.search(words))
    return None if short == other else short


def slice_direction(data: Dataset) -> str:
    """`apex-to-base`, `base-to-apex` or empty."""
    text = str(data.get("SliceProgressionDirection", "") or "").strip().upper()
    return {"APEX_TO_BASE": "apex-to-base", "BASE_TO_APEX": "base-to-apex"}.get(text, "")


def _date(data: Dataset) -> datetime.date | None:
    # The day of the acquisition, if it is there; series and study may be dated by the processing.
    texts = (str(data.get(name, "") or "").strip() for name in ("AcquisitionDate", "SeriesDate", "StudyDate"))
    return next((date for text in texts if (date := date_of(text))), None)


def _age(data: Dataset) -> str:
    """Years; 90 for everyone older than 89, who would be few enough to be known by their age."""
    match = re.fullmatch(r"0*([0-9]{1,3})Y", str(data.get("PatientAge", "") or "").strip().upper())
    # HIPAA's safe harbour (45 CFR 164.514(b)(2)) puts all ages above 89 into one group.
    return "" if match is None else str(min(int(match[1]), _OLDEST + 1))


def _codes(sequence: Iterable[Dataset] | None) -> list[str]:
    items = list(sequence or [])
    return [str(item.get(name, "") or "").strip() for item in items for name in ("CodeValue", "LongCodeValue")]


def _texts(value: Any) -> list[str]:  # noqa: ANN401 - pydicom gives one text or several
    return [] if value is None else [str(text).strip() for text in ([value] if isinstance(value, str) else value)]


def _number(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return float("nan")
