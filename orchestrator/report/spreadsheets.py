"""Tables as CSV that a spreadsheet reads as text and numbers, never as formulas."""

from typing import Final

import pandas as pd

# A cell that begins so is a formula to a spreadsheet (OWASP: CSV injection).
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def as_csv(frame: pd.DataFrame, float_format: str | None = None) -> str:
    """The frame as CSV; a text that a spreadsheet would compute gets an apostrophe in front."""
    texts = frame.select_dtypes(include=["object", "string"]).columns
    safe = frame.assign(**{str(name): frame[name].map(_safe) for name in texts}) if len(texts) else frame
    return safe.to_csv(index=False, lineterminator="\n", float_format=float_format)


def _safe(value: object) -> object:
    if not isinstance(value, str) or not value.startswith(_FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    # A negative number is no formula.
    return value
