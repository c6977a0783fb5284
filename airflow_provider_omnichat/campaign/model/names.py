"""Names as they are compared and shown (columns), and as they fit the place they are written to."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection
from hashlib import blake2b
from itertools import islice
from typing import Any

from airflow_provider_omnichat.api.privacy import scrub
from airflow_provider_omnichat.campaign.model.rows import RowSourceError
from airflow_provider_omnichat.campaign.model.sentences import cut

MOST_NAMES_SHOWN = 20
_LONGEST_SHOWN = 60
# Letters only: digits in a row would be masked as somebody's number wherever the name is shown.
LETTERS = str.maketrans("0123456789", "ghijklmnop")


class TwoColumnsError(RowSourceError):
    """Two columns could be the one that is asked for."""


def column_of(wanted: Any, names: Collection[Any]) -> Any:
    """
    Return the column of this name, else the only one that differs by capitals alone, else None.

    Databases change capitals on their own (Snowflake and Oracle to capitals, PostgreSQL to small letters), and so do
    people. White space around a name, a byte order mark, and how an accent is stored, do not count either.

    :raises TwoColumnsError: either of two could be meant.
    """
    if wanted in names:
        return wanted
    if not isinstance(wanted, str):
        return None
    plain = _plain(wanted)
    alike = [name for name in names if isinstance(name, str) and _plain(name) == plain]
    if len(alike) > 1:
        raise TwoColumnsError(
            f"{' and '.join(shown_name(name) for name in alike[:MOST_NAMES_SHOWN])} could each be the column"
            f" {shown_name(wanted)}; write the name exactly as in the list"
        )
    return alike[0] if alike else None


def count_of(wanted: Collection[str], names: Collection[str]) -> int:
    """Count the wanted columns that are among the names, compared as :func:`column_of` does."""
    there = set(map(_plain, names))
    return sum(_plain(name) in there for name in wanted)


def shown_name(name: object) -> str:
    """Return a column's name in quotes, as it may be shown: in a list without a header it may be somebody's number."""
    return repr(cut(scrub(str(name)), _LONGEST_SHOWN))


def shown_names(names: Collection[object]) -> str:
    """Return names of columns as they may be shown, and not too many of them."""
    texts = [cut(scrub(str(name)), _LONGEST_SHOWN) for name in islice(names, MOST_NAMES_SHOWN)]
    # In quotes if something odd about it would not be seen otherwise.
    shown = ", ".join(text if text and text.isprintable() else repr(text) for text in texts)
    return f"{shown}, …" if len(names) > MOST_NAMES_SHOWN else shown or "none at all"


def distinct_name(name: str, kept: str, most: int) -> str:
    """Return *kept*, what a place takes of a name; with a hash of the name behind it if that is not all of it."""
    if kept == name and len(name) <= most:
        return name
    # Else it could be the name of something else.
    digest = blake2b(name.encode(errors="surrogatepass"), digest_size=10).hexdigest().translate(LETTERS)
    return f"{kept[: most - len(digest) - 1]}~{digest}"


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name.replace("\ufeff", "").strip()).casefold()
