"""Common spellings of tracers and of sex, read alike wherever a table is read."""

import re
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Final

from mpi_model.vocabulary import Tracer

# After removal of punctuation: any sequence of these parts that contains an element or an agent.
_TECHNETIUM: Final = re.compile(
    r"(?=.*(?:technetium|tc|mibi|tetrofosmin))(?:technetium|tc|99m|99|sesta|mibi|tetrofosmin)+"
)
_THALLIUM: Final = re.compile(r"(?=.*(?:tl|thall))(?:thallium|thallous|tl|201|chloride|cl)+")
_LONGEST_TRACER: Final = 60

_SEXES: Final = {
    **dict.fromkeys(("f", "female", "woman", "w", "weiblich"), "F"),
    **dict.fromkeys(("m", "male", "man", "männlich", "maennlich"), "M"),
    **dict.fromkeys(("o", "other", "d", "divers", "diverse"), "O"),
}

# Words that stand for a class, a side or nothing in many tables, and that are nobody's name.
_WORDS: Final = frozenset(
    (
        *("yes", "no", "true", "false", "y", "n", "t", "f", "m", "positive", "negative", "pos", "neg", "normal"),
        *("abnormal", "healthy", "disease", "diseased", "present", "absent", "na", "n/a", "nan", "none", "null"),
        *("missing", "unknown", "inf", "train", "training", "validation", "val", "dev", "development", "test"),
        *("testing", "external", "stress", "rest", "both", "male", "female"),
    )
)
_QUOTABLE: Final = re.compile(r"[0-9.,+-]{1,8}|[A-Za-z]{1,3}-?[0-9]{1,3}[a-z]?")
_MOST_SHOWN: Final = 8
_LONGEST_SHOWN: Final = 20


def tracer_of(text: str) -> Tracer | None:
    """Recognise the common spellings of a tracer.

    Args:
        text: For example `Tc-99m`, `99mTc`, `Tc-99m sestamibi`, `Tl201`, `thallium`.

    Returns:
        The tracer, or None for anything else.
    """
    if len(text) > _LONGEST_TRACER:
        return None
    # Without punctuation `Tc-99m`, `99mTc` and `Tc 99m` consist of the same parts.
    compact = re.sub(r"[\W_]", "", text.casefold())
    if _TECHNETIUM.fullmatch(compact):
        return "Tc-99m"
    return "Tl-201" if _THALLIUM.fullmatch(compact) else None


def sex_of(text: str) -> str:
    """`F`, `M` or `O` (as DICOM's PatientSex) for the common spellings; any other text as it is."""
    return _SEXES.get(text.strip().casefold(), text)


def counted_values(cells: Iterable[tuple[str, str]], ids: Collection[str]) -> str:
    """The values of a column with their counts, as far as they are nobody's id.

    Args:
        cells: Patient id and value of every row.
        ids: Every patient id; a value that is one, or holds one, is not shown.

    Returns:
        For example `0 (30 times), yes (12 times) and 2 other texts`.
    """
    counts, patients = Counter[str](), dict[str, str]()
    several: set[str] = set()
    for patient, value in cells:
        counts[value] += 1
        if patients.setdefault(value, patient) != patient:
            several.add(value)
    shown = [value for value, _ in counts.most_common() if may_be_shown(value, ids, shared=value in several)]
    texts = [f"{value or 'blank'} ({counts[value]} time{'s' * (counts[value] > 1)})" for value in shown[:_MOST_SHOWN]]
    others = sum(count for value, count in counts.items() if value not in set(shown[:_MOST_SHOWN]))
    return ", ".join(texts) + (f"{' and ' if texts else ''}{others} other texts" if others else "")


def may_be_shown(value: str, ids: Collection[str], *, shared: bool = False) -> bool:
    """Whether a message may quote a cell: a number, a short word that stands for a class, or what patients share.

    Any other text of a wrong column may be a patient's name or a path with one.
    """
    if value in ids:
        return False
    if not value or value.casefold() in _WORDS:
        return True
    short = bool(_QUOTABLE.fullmatch(value)) or (shared and len(value) <= _LONGEST_SHOWN and value.isprintable())
    # Nor a text that holds an id, such as `P17b`; it is short, so that all its parts can be looked up.
    return short and not any(
        value[start:end] in ids for start in range(len(value)) for end in range(start + 1, len(value) + 1)
    )
