"""One person is one person: ids compared after normalisation, invisible characters refused, look-alikes reported."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from orchestrator.cohort.problems import MAX_LISTED, rows_text

_LONGEST: Final = 200
"""Characters of an id."""

# Categories without a picture of their own: control, format, surrogate, private, unassigned, line ends.
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Letters and marks that are drawn as nothing: Default_Ignorable_Code_Point of Unicode 15 outside those categories.
_DRAWN_AS_NOTHING: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)

# Letters of other alphabets that are drawn as Latin ones (Unicode Technical Standard 39, the common cases).
_DRAWN_ALIKE: Final = str.maketrans(
    "АВЕКМНОРСТУХІЈЅавекморстухіјѕһԁԛԝ" + "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧαεικνορτυχ" + "‐‑‒–—―−_’",
    "ABEKMHOPCTYXIJSabekmopctyxijshdqw" + "ABEZHIKMNOPTYXaeikvoptux" + "--------'",
)
# Figures that are typed for letters, and letters for figures.
_TYPED_ALIKE: Final = str.maketrans("ıil|o", "11110")

_FORMULA: Final = re.compile(r"[=@]|[+-](?!\d+$)")


def canonical(text: str) -> str:
    """An id as it is compared: NFKC, so that a composed and a decomposed letter are one (Unicode Annex 15)."""
    return text if text.isascii() else unicodedata.normalize("NFKC", text).strip()


def refusal(text: str) -> str:
    """Why a text cannot be an id; empty where it can."""
    if len(text) > _LONGEST:
        return f"has {len(text)} characters; {_LONGEST} are the most"
    if _FORMULA.match(text):
        return "begins as a formula of a spreadsheet does, which would change it in every table; give another id"
    return invisible(text)


def invisible(text: str) -> str:
    """Which character of a text nobody sees; empty where there is none."""
    if text.isascii() and text.isprintable():
        return ""
    for character in text:
        if unicodedata.category(character) in _INVISIBLE or _DRAWN_AS_NOTHING.match(character):
            return f"holds the invisible character U+{ord(character):04X}; take it out, or two ids will look alike"
    return ""


def _look_alike(text: str) -> str:
    """What two spellings of one id have in common: case, leading zeros, `.0`, spaces, letters drawn alike."""
    # A spreadsheet reads an id as a number: `01` and `1.0` become `1`.
    number = re.fullmatch(r"([+-]?\d+)[.,]0*", text)
    folded = (number[1] if number else text).translate(_DRAWN_ALIKE).casefold().translate(_TYPED_ALIKE)
    # Accents are lost where a file is written for another alphabet.
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", folded) if not unicodedata.combining(letter))
    return re.sub(r"(?<![0-9])0+(?=[0-9])", "", re.sub(r"\s", "", plain)) or plain


def rows_alike(ids: Iterable[tuple[int, str]], known: Iterable[str]) -> list[int]:
    """The rows whose patient id may be another spelling of a known one.

    Args:
        ids: Row and patient id of every exam.
        known: Patient ids of another table.
    """
    forms = {_look_alike(patient) for patient in known}
    return [row for row, patient in ids if _look_alike(patient) in forms]


def look_alike_notices(ids: Iterable[tuple[int, str]], named: Callable[[Iterable[int]], str] = rows_text) -> list[str]:
    """Ids that may be spellings of one patient, whom a split by patient would then not keep together.

    Args:
        ids: Row and patient id of every exam.
        named: How a message names some rows.

    Returns:
        A notice a group, at most `MAX_LISTED`, and a count of the rest.
    """
    groups: dict[str, dict[str, list[int]]] = {}
    for row, patient in ids:
        groups.setdefault(_look_alike(patient), {}).setdefault(patient, []).append(row)
    alike: Sequence[dict[str, list[int]]] = [spellings for spellings in groups.values() if len(spellings) > 1]
    notices = [
        f"{named(row for rows in spellings.values() for row in rows)} have patient ids that look alike "
        "(case, leading zeros, `.0`, spaces, or letters of another alphabet); they are taken as different patients"
        for spellings in alike[:MAX_LISTED]
    ]
    more = len(alike) - MAX_LISTED
    return notices + ([f"… and {more} more groups of patient ids that look alike"] if more > 0 else [])
