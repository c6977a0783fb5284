"""Why rows did not go well: how many for which reason, and which were the first; in as much memory as a page needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.privacy import scrub
from airflow_provider_omnichat.api.reasons import Reason
from airflow_provider_omnichat.campaign.model.rows import Result, shown_key

WORST_FIRST = (
    Outcome.UNKNOWN,
    Outcome.NOT_SENT,
    Outcome.REJECTED,
    Outcome.INVALID,
    Outcome.HELD,
    Outcome.SUPPRESSED,
    Outcome.DUPLICATE,
)
"""The outcomes of rows that were not accepted, in the order in which people should read them."""

_MOST_KINDS = 200
_MOST_SHOWN = 5
_MOST_KEYS = 5
_LONGEST_NAME = 64


class Kind(NamedTuple):
    """
    Rows that ended alike.

    :param outcome: how they ended.
    :param code: of the reason.
    :param name: of the vendor's status, for people; None where there is none.
    """

    outcome: Outcome
    code: str
    name: str | None


@dataclass(slots=True)
class Counted:
    """
    What is known of a kind.

    :param reason: of the first of them.
    :param count: of rows.
    :param first: the user's keys of the first rows, or positions in the list where they have none.
    """

    reason: Reason
    count: int = 0
    first: list[str | int] = field(default_factory=list)


class ReasonCounts:
    """Counts rows by outcome, reason and the vendor's status. What the vendor may name without end is bounded."""

    def __init__(self) -> None:
        self._counted: dict[Kind, Counted] = {}

    def add(self, result: Result) -> None:
        """
        Count a row; one without a reason is not counted.

        :param result: of a row that was not accepted.
        """
        if result.reason is None:
            return
        kind = Kind(result.outcome, result.reason.code.value, result.reason.status or result.status_name)
        counted = self._counted.get(kind)
        if counted is None:
            if len(self._counted) >= _MOST_KINDS:
                kind = kind._replace(name=None)
            counted = self._counted.setdefault(kind, Counted(result.reason))
        counted.count += 1
        if len(counted.first) < _MOST_KEYS:
            key = shown_key(result.key, result.to)
            counted.first.append(_cut(key) if key else result.position)

    def most_frequent(self, outcome: Outcome) -> list[tuple[Kind, Counted]]:
        """
        Give at most five reasons, the most frequent first.

        :param outcome: of the rows.
        """
        # A copy first: the page of a running task may ask while rows are counted.
        kinds = [each for each in list(self._counted.items()) if each[0].outcome is outcome]
        return sorted(kinds, key=lambda each: -each[1].count)[:_MOST_SHOWN]

    def to_json(self) -> list[dict[str, Any]]:
        """Give the most frequent reasons of each outcome as plain data; see :attr:`Tally.reasons`."""
        return [
            {
                "outcome": kind.outcome.value,
                "code": kind.code,
                "name": _safe(kind.name),
                "count": counted.count,
                "first": list(counted.first),
            }
            for outcome in WORST_FIRST
            for kind, counted in self.most_frequent(outcome)
        ]

    def lines(self, counts: Mapping[Outcome, int]) -> Iterator[str]:
        """
        Give a line for each outcome with a reason: ``3 rejected: REJECTED_DND 2 (C-1014, C-1320), ...``.

        :param counts: rows by outcome, also those without a reason.
        """
        for outcome in WORST_FIRST:
            shown = self.most_frequent(outcome)
            if not shown:
                continue
            parts = [_said(kind, counted) for kind, counted in shown]
            if others := counts[outcome] - sum(counted.count for _, counted in shown):
                parts.append(f"others {others:,}")
            yield f"{counts[outcome]:,} {outcome.label}: {', '.join(parts)}"

    def causes(self, outcome: Outcome, said: str | None) -> Iterator[str]:
        """
        Give a line for each of the most frequent reasons, with its text.

        :param outcome: of the rows.
        :param said: what the reader knows already; a reason that says it again is named without its text.
        """
        for kind, counted in self.most_frequent(outcome):
            text = str(counted.reason)
            is_known = said is not None and said in text
            yield f"  {outcome.label}: {_said(kind, counted)}" + ("" if is_known else f": {text}")


def _said(kind: Kind, counted: Counted) -> str:
    keys = [key if isinstance(key, str) else f"row {key}" for key in counted.first]
    more = ", ..." if counted.count > len(keys) else ""
    return f"{_safe(kind.name) or kind.code.replace('_', ' ')} {counted.count:,} ({', '.join(keys)}{more})"


def _safe(name: str | None) -> str | None:
    return _cut(scrub(name)) if name else None


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_NAME else f"{text[: _LONGEST_NAME - 1]}…"
