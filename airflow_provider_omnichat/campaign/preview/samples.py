"""Examples of what a campaign would send, for a person who must approve it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from airflow_provider_omnichat.api.privacy import mask_number, scrub
from airflow_provider_omnichat.campaign.model.rows import Candidate
from airflow_provider_omnichat.campaign.model.segments import Encoding, Segments

_MOST_SAMPLES = 5
_LONGEST_SAMPLE = 500

# Digits that may be shown in a sample although a phone number could be as long.
_DATE = re.compile(
    r"(?<![\d./()+-])(?<!\d )"
    r"(?:(?:19|20)\d\d-[01]\d-[0-3]\d|[0-3]?\d([./])[0-3]?\d\1(?:19|20)\d\d)"
    r"(?![./()-]?\d)(?! \d(?!\d?:\d\d))"
)
_DATE_HERE = "\u241a"  # a printable sign, which scrub() leaves alone; it is taken out of messages


@dataclass(frozen=True, slots=True)
class Sample:
    """
    An invite as it may be shown.

    :param row: its position in the list.
    :param to: the number, masked.
    :param country: of the number.
    :param message: with the numbers in it masked.
    :param segments: that it takes.
    """

    row: int
    to: str
    country: str
    message: str
    segments: Segments


class Samples:
    """Keeps the first of each kind, then the first ones, so that the samples show what differs."""

    def __init__(self) -> None:
        self._first: list[Sample] = []
        self._kinds: dict[tuple[str, Encoding, int], Sample] = {}

    def add(self, candidate: Candidate, country: str, segments: Segments) -> None:
        """
        Take in an invite.

        :param candidate: the invite.
        :param country: of its number.
        :param segments: that its message takes.
        """
        kind = (country, segments.encoding, segments.parts)
        new = kind not in self._kinds and len(self._kinds) < _MOST_SAMPLES
        if not new and len(self._first) >= _MOST_SAMPLES:
            return
        invite = candidate.invite
        sample = Sample(candidate.position, mask_number(invite.to), country, _shown(invite.message), segments)
        if new:
            self._kinds[kind] = sample
        if len(self._first) < _MOST_SAMPLES:
            self._first.append(sample)

    def chosen(self) -> list[Sample]:
        """Give them, in the order of the list."""
        by_row = {sample.row: sample for sample in [*self._kinds.values(), *self._first]}
        return sorted(list(by_row.values())[:_MOST_SAMPLES], key=lambda sample: sample.row)


def _shown(message: str) -> str:
    """Give a message for people: dates stay, other long numbers are masked."""
    text = message[: 2 * _LONGEST_SAMPLE].replace(_DATE_HERE, "")
    lines = []
    for line in text.splitlines():
        dates = iter([found.group() for found in _DATE.finditer(line)])
        masked = scrub(_DATE.sub(_DATE_HERE, line))
        lines.append("".join(next(dates) if character == _DATE_HERE else character for character in masked))
    shown = "\n".join(lines)
    return shown if len(shown) <= _LONGEST_SAMPLE else shown[: _LONGEST_SAMPLE - 1] + "…"
