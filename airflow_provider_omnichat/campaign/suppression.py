"""The opt-out list: numbers that get nothing, whoever has them on a list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_omnichat.api.errors import InvalidInviteError, OmnichatError
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.privacy import scrub
from airflow_provider_omnichat.campaign.identity import identity_of
from airflow_provider_omnichat.campaign.missing import is_missing, value_in
from airflow_provider_omnichat.campaign.phone import normalise_number
from airflow_provider_omnichat.campaign.row_sources import BrokenRow
from airflow_provider_omnichat.campaign.rows import Candidate, Refusal, Row

_FEWEST_DIGITS = 5
_MOST_EXAMPLES = 5


class SuppressionError(OmnichatError, ValueError):
    """The opt-out list cannot be read as one. Nobody may be invited past it."""


@dataclass(frozen=True, slots=True)
class NationalOptOut:
    """
    An entry of an opt-out list that says its country.

    :param number: as it was written.
    :param region: the country that it is of if it has no country code, as two letters.
    """

    number: object
    region: str


class Suppression:
    """
    A rule of the gate: refuses whoever is on the opt-out list.

    Numbers are compared after normalising, so they may be written in another way than in the list of invites.

    An entry that cannot be read but could be somebody's number is an error: skipping it would invite a person who has
    said no. One that can be nobody's number (fewer than five digits, such as ``n/a``) counts as :attr:`ignored`. A list
    with nothing but these is another list, or another column, and an error, too.

    :param entries: numbers as people write them, or :class:`NationalOptOut`; blank ones are left out.
    :param default_region: the country of numbers without a country code, as two letters.
    :raises SuppressionError: names the entries that cannot be read, without their numbers.
    """

    def __init__(self, entries: Iterable[object], default_region: str | None = None) -> None:
        self.ignored = 0
        """Entries that can be nobody's number."""
        # As integers: the smallest thing that a set can hold of a number.
        self._numbers: set[int] = set()
        unreadable: list[str] = []
        count = 0
        for position, given in enumerate(entries, 1):
            entry, country = (given.number, given.region) if isinstance(given, NationalOptOut) else (given, None)
            if is_missing(entry):
                continue
            try:
                self._numbers.add(int(identity_of(normalise_number(entry, default_region, country))))
            except InvalidInviteError as error:
                if sum(character.isdigit() for character in str(entry)) < _FEWEST_DIGITS:
                    self.ignored += 1
                    continue
                count += 1
                if len(unreadable) < _MOST_EXAMPLES:
                    unreadable.append(f"entry {position}: {error}")
        if count:
            raise SuppressionError(
                f"suppression: {count} entries cannot be read as phone numbers, so that people who opted out might be"
                f" invited; correct them, or give default_region for national numbers. {'; '.join(unreadable)}"
            )
        if self.ignored and not self._numbers:
            raise SuppressionError(
                f"suppression: not one of {self.ignored} entries is a phone number; is it the right list, and the right"
                " column?"
            )

    def __len__(self) -> int:
        return len(self._numbers)

    def check(self, candidate: Candidate, fields: Mapping[str, Any]) -> Candidate | Refusal:
        """See :class:`~airflow_provider_omnichat.campaign.batch_gate.Rule`."""
        if int(identity_of(candidate.invite.to)) in self._numbers:
            return Refusal(Outcome.SUPPRESSED, "is on the opt-out list")
        return candidate


def numbers_in(rows: Iterable[Row | BrokenRow], column: str, region_column: str | None = None) -> Iterator[object]:
    """
    Give the numbers of an opt-out list that has columns.

    :param rows: of a file or query.
    :param column: the one with the number; where a row has no such column but only one at all, that one.
    :param region_column: the one with the country of the number, where there is one.
    :raises SuppressionError: a row cannot be read, or it cannot be told where its number stands.
    """
    for row in rows:
        if isinstance(row, BrokenRow):
            raise SuppressionError(f"suppression: row {row.position} cannot be read: {row.reason}")
        yield _with_region(_number_of(row, column), value_in(row.fields, region_column))


def _number_of(row: Row, column: str) -> object:
    if column in row.fields:
        return row.fields[column]
    if len(row.fields) == 1:
        return next(iter(row.fields.values()))
    names = ", ".join(repr(scrub(str(name))) for name in row.fields)
    raise SuppressionError(
        f"suppression: row {row.position} has no column {column!r} (it has {names}); give a list with that column, or"
        " with one column only"
    )


def _with_region(number: object, region: object) -> object:
    return number if region is None else NationalOptOut(number, str(region).strip())
