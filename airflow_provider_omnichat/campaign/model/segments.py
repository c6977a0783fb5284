"""
How many SMS segments a text takes: 160 or 153 characters each in GSM-7, 70 or 67 in UCS-2.

The count is an estimate. The vendor inserts a link whose length is not documented, and may count differently with
national alphabets or transliteration switched on for the account; it bills by its own count.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

# Segments, and bytes in UTF-8, that the vendor takes in one message (else status 25). Chinese reaches the bytes first.
MOST_SEGMENTS = 25
MOST_BYTES = 4000
# No text of so many characters is too long: a segment of UCS-2 takes 33 characters of two units, such as emojis.
SURELY_FITS = MOST_SEGMENTS * 33
# The length of the vendor's link is not documented, so this is a guess.
ASSUMED_LINK = 40 * "x"

_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_ESCAPED = "\f^{}\\[~]|€"
_BASIC_ONLY = re.compile(f"[{re.escape(_BASIC)}]*")
_GSM7_ONLY = re.compile(f"[{re.escape(_BASIC + _ESCAPED)}]*")
_OUTSIDE = re.compile(f"[^{re.escape(_BASIC + _ESCAPED)}]")
_ANY_ESCAPED = re.compile(f"[{re.escape(_ESCAPED)}]")


class Encoding(StrEnum):
    """How a text is encoded as SMS."""

    GSM7 = "GSM-7"
    UCS2 = "UCS-2"


_SINGLE = {Encoding.GSM7: 160, Encoding.UCS2: 70}
_SEGMENT = {Encoding.GSM7: 153, Encoding.UCS2: 67}


@dataclass(frozen=True, slots=True)
class Segments:
    """What a text takes. *units* is its length as it is counted, with characters that count as two."""

    encoding: Encoding
    units: int
    count: int
    size_bytes: int

    @property
    def too_long(self) -> bool:
        """Whether the vendor refuses it for its length."""
        return self.count > MOST_SEGMENTS or self.size_bytes > MOST_BYTES


def count_segments(text: str) -> Segments:
    """Count the segments of a text that has the link in it, or something as long in its place."""
    if _BASIC_ONLY.fullmatch(text):
        length = len(text)
        return Segments(Encoding.GSM7, length, 1 if length <= 160 else -(-length // 153), _size(text))
    if _GSM7_ONLY.fullmatch(text):
        wide = [match.start() for match in _ANY_ESCAPED.finditer(text)]
        return _counted(Encoding.GSM7, text, wide)
    return _counted(Encoding.UCS2, text, [at for at, character in enumerate(text) if character > "\uffff"])


def refused_length(message: str, replaced: str = "") -> str | None:
    """Describe how much a message is too long, whatever replaces a piece of it; None if it may fit."""
    if len(message) <= SURELY_FITS:
        return None
    least = count_segments(message.replace(replaced, "") if replaced else message)
    if not least.too_long:
        return None
    over = [f"{least.count} SMS in {least.encoding}"] if least.count > MOST_SEGMENTS else []
    over += [f"{least.size_bytes:,} bytes in UTF-8"] if least.size_bytes > MOST_BYTES else []
    return f"{' and '.join(over)}{' without the link' if replaced else ''}. Shorten it"


def outside_gsm7(text: str) -> list[str]:
    """Return the characters that make a text UCS-2, each as often as it occurs."""
    return _OUTSIDE.findall(text)


def _counted(encoding: Encoding, text: str, wide: list[int]) -> Segments:
    units = len(text) + len(wide)
    if units <= _SINGLE[encoding]:
        return Segments(encoding, units, 1, _size(text))
    segment = _SEGMENT[encoding]
    # Phones need both units in one segment: each one on a border moves everything behind it by one unit.
    moved = 0
    for before, at in enumerate(wide):
        if (at + before + moved) % segment == segment - 1:
            moved += 1
    return Segments(encoding, units, -(-(units + moved) // segment), _size(text))


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))
