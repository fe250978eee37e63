"""Text that came from outside, made fit for a terminal and a line of a message."""

import unicodedata
from typing import Final

_NOT_PRINTED: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode's categories: control, format (directions, joiners), half of a pair, line and paragraph separators."""


def printable(text: str) -> str:
    r"""A text without characters that command a terminal or change the direction of writing: `\x1b` for escape."""
    # Most text is plain; asking for the category of every letter of it would cost more than printing it.
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode("ascii")
        if unicodedata.category(character) in _NOT_PRINTED
        else character
        for character in text
    )
