"""Names of columns: found without regard to how they are written, and shown without what they may hold."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection
from itertools import islice
from typing import Any

from airflow_provider_omnichat.api.privacy import scrub
from airflow_provider_omnichat.campaign.model.rows import RowSourceError

MOST_NAMES_SHOWN = 20
_LONGEST_SHOWN = 60


class TwoColumnsError(RowSourceError):
    """Two columns could be the one that is asked for."""


def column_of(wanted: Any, names: Collection[Any]) -> Any:
    """
    Find a column by its name: the one that is written so, else the only one that differs by capitals alone.

    Databases change capitals on their own (Snowflake and Oracle to capitals, PostgreSQL to small letters), and so do
    people. White space around a name, a byte order mark, and how an accent is stored, do not count either.

    :param wanted: the name.
    :param names: of the columns that there are.
    :return: the column, as it is written there; None where there is none.
    :raises TwoColumnsError: there are two, and it cannot be told which is meant.
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
            f" {shown_name(wanted)}; write it as the one that is meant is written there"
        )
    return alike[0] if alike else None


def count_of(wanted: Collection[str], names: Collection[str]) -> int:
    """
    Count the columns that are there, as :func:`column_of` compares names.

    :param wanted: names of columns.
    :param names: of the columns that there are.
    """
    there = set(map(_plain, names))
    return sum(_plain(name) in there for name in wanted)


def shown_name(name: object) -> str:
    """
    Give the name of a column in quotes, as it may be shown: in a list without a header it may be somebody's number.

    :param name: of the column.
    """
    return repr(_cut(scrub(str(name))))


def shown_names(names: Collection[object]) -> str:
    """
    Give names of columns as they may be shown, and not too many of them.

    :param names: of the columns.
    """
    texts = [_cut(scrub(str(name))) for name in islice(names, MOST_NAMES_SHOWN)]
    # In quotes where nobody would see what is odd.
    shown = ", ".join(text if text and text.isprintable() else repr(text) for text in texts)
    return f"{shown}, …" if len(names) > MOST_NAMES_SHOWN else shown or "none at all"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name.replace("\ufeff", "").strip()).casefold()
