"""The opt-out list: numbers that get nothing, on whichever list they are."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_omnichat.api.errors import InvalidInviteError, OmnichatError
from airflow_provider_omnichat.api.identity import identity_of
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.privacy import is_address, is_path
from airflow_provider_omnichat.api.reasons import Reason, ReasonCode
from airflow_provider_omnichat.campaign.model.field_values import is_blank, key_text, value_in
from airflow_provider_omnichat.campaign.model.names import TwoColumnsError, column_of, shown_name
from airflow_provider_omnichat.campaign.model.rows import BrokenRow, Candidate, Refusal, Row
from airflow_provider_omnichat.campaign.phone.number import normalise_number

_MOST_EXAMPLES = 5
# What people write for a missing number. Anything else may have been one.
_NO_NUMBER = re.compile(
    r"[-\u2013\u2014]+|[?.0x]|n/?a|n\.a\.?|n/d|nil|nan|none|null|no(?: number)?|not (?:available|known)|missing|empty"
    r"|unknown|unbekannt|inconnu|desconocido|sconosciuto",
    re.IGNORECASE,
)
_OPTED_OUT = Reason(ReasonCode.OPTED_OUT, "is on the opt-out list")


class SuppressionError(OmnichatError, ValueError):
    """The opt-out list cannot be read completely; nobody is invited without it."""


@dataclass(frozen=True, slots=True)
class NationalOptOut:
    """An entry of an opt-out list, with its country (two letters) in case it has no country code."""

    number: object
    region: str


class Suppression:
    """
    A rule: refuses everyone on the opt-out list, however their numbers are written in either list.

    An entry that cannot be read is an error: skipping it might invite a person who has said no. A word for no number,
    such as ``n/a``, counts as :attr:`ignored`. A list of only these and blank entries is an error, too: it is probably
    the wrong list or column.

    :param entries: numbers as people write them, or :class:`NationalOptOut`; blank ones are left out.
    :raises SuppressionError: names the entries that cannot be read, without their numbers.
    """

    def __init__(self, entries: Iterable[object], default_region: str | None = None) -> None:
        self.ignored = 0  # entries with a word for no number
        # Integers: the smallest form of a number in a set.
        self._numbers: set[int] = set()
        unreadable: list[str] = []
        count = blank = 0
        for position, given in enumerate(entries, 1):
            entry, country = (given.number, given.region) if isinstance(given, NationalOptOut) else (given, None)
            if is_blank(entry):
                blank += 1
                continue
            try:
                self._numbers.add(int(identity_of(normalise_number(entry, default_region, country))))
            except InvalidInviteError as error:
                if is_path(entry) or (isinstance(entry, str) and is_address(entry)):
                    raise SuppressionError(
                        f"suppression: entry {position} is the address of a file; name a single file as"
                        " suppression='/data/opt-outs.csv', or read several in a task that returns their numbers"
                    ) from None
                if _NO_NUMBER.fullmatch(key_text(entry)):
                    self.ignored += 1
                    continue
                count += 1
                if len(unreadable) < _MOST_EXAMPLES:
                    unreadable.append(f"entry {position}: {error}")
        if count:
            raise SuppressionError(
                f"suppression: {count} entries cannot be read as phone numbers, so that people who opted out might be"
                " invited; correct them, leave entries without a number blank, or set default_region for national"
                f" numbers. {'; '.join(unreadable)}"
            )
        without_number = self.ignored + blank
        if without_number and not self._numbers:
            raise SuppressionError(
                f"suppression: not one of {without_number} entries is a phone number; is it the right list, and the"
                " right column?"
            )

    def __len__(self) -> int:
        return len(self._numbers)

    def check(self, candidate: Candidate, fields: Mapping[str, Any]) -> Candidate | Refusal:
        if int(candidate.identity) in self._numbers:
            return Refusal(Outcome.SUPPRESSED, _OPTED_OUT)
        return candidate


def numbers_in(entries: Iterable[object], column: str, region_column: str | None = None) -> Iterator[object]:
    """
    Yield the numbers of an opt-out list that has columns.

    :param entries: rows of a file or query, or dicts as rows; anything else is a number and yielded as it is.
    :param column: the one with the number, in any spelling; a row that has only one column need not name it so.
    :param region_column: the one with the country of the number. Some row must have it, unless each has one column.
    :raises SuppressionError: a row cannot be read, or has no column for its number or country, or two.
    """
    columns: dict[tuple[Any, ...], tuple[Any, Any]] = {}
    for entry in entries:
        if isinstance(entry, BrokenRow):
            raise SuppressionError(f"suppression: row {entry.position} cannot be read: {entry.reason}")
        if not isinstance(entry, Row):
            yield entry
            continue
        names = tuple(entry.fields)
        if names not in columns:
            columns[names] = _columns_of(entry, column, region_column)
        number, region = columns[names]
        country = value_in(entry.fields, region)
        yield entry.fields[number] if country is None else NationalOptOut(entry.fields[number], str(country))
    several = [names for names in columns if len(names) > 1]
    if region_column and several and not any(region is not None for _, region in columns.values()):
        raise SuppressionError(
            f"suppression: no row has a column {shown_name(region_column)}, as region_column names it"
            f" ({_listed(several[0])}), so that a national number could be read as one of another country; use a list"
            " with that column, or with one column only"
        )


def _columns_of(row: Row, column: str, region_column: str | None) -> tuple[Any, Any]:
    names = row.fields
    try:
        number = column_of(column, names)
        region = None if region_column is None else column_of(region_column, names)
    except TwoColumnsError as error:
        raise SuppressionError(f"suppression: row {row.position}: {error}") from None
    if number is None:
        if len(names) != 1:
            raise SuppressionError(
                f"suppression: row {row.position} has no column {shown_name(column)} ({_listed(names)}); use a list"
                " with that column, or with one column only"
            )
        number = next(iter(names))
    return number, region


def _listed(names: Collection[Any]) -> str:
    return f"it has {', '.join(shown_name(name) for name in names)}"
