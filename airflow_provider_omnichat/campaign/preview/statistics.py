"""What a campaign would do, for the person who approves it: counts, and a few invites as examples."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from airflow_provider_omnichat.api.models import Invite
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.privacy import mask_number, scrub
from airflow_provider_omnichat.api.sms import SmsInvite
from airflow_provider_omnichat.campaign.model.rows import Candidate, Result, Wait
from airflow_provider_omnichat.campaign.model.segments import (
    ASSUMED_LINK,
    Encoding,
    Segments,
    count_segments,
    outside_gsm7,
)
from airflow_provider_omnichat.campaign.model.sentences import cut
from airflow_provider_omnichat.campaign.phone.location import country_of

MOST_REASONS = 10
MOST_CHARACTERS = 10
_MOST_KINDS = 1000
_MOST_ROWS_NAMED = 5
_MOST_SAMPLES = 5
_LONGEST_SAMPLE = 500
_ROUNDED = "00000"
_LONG_LINK = 80
# What a query or a data frame puts where there is no name.
_NO_VALUE = re.compile(r"(?<!\w)(?:NULL|null|N/A|n/a|None|NaN|nan|undefined)(?!\w)")
# Dates may be shown in a sample, although a phone number could be as long.
_DATE = re.compile(
    r"(?<![\d./()+-])(?<!\d )"
    r"(?:(?:19|20)\d\d-[01]\d-[0-3]\d|[0-3]?\d([./])[0-3]?\d\1(?:19|20)\d\d)"
    r"(?![./()-]?\d)(?! \d(?!\d?:\d\d))"
)
_DATE_HERE = "\u241a"  # printable, so that scrub() leaves it alone; it is removed from messages


@dataclass(frozen=True, slots=True)
class Sample:
    """An invite as it may be shown, with the numbers in it masked."""

    row: int
    to: str
    country: str
    message: str
    encoding: str
    segments: int


class Preview:
    """Sums up a dry run row by row, with numbers masked, in memory that does not grow with the list."""

    def __init__(self, price_per_segment: float | None = None, currency: str | None = None, template: str = "") -> None:
        self.price = price_per_segment
        self.currency = currency
        self.later: Counter[Wait] = Counter()
        self.rows = 0
        self.invites = 0
        self.left_out: Counter[Outcome] = Counter()
        self.reasons: Counter[tuple[Outcome, str | None, str]] = Counter()
        self.countries: Counter[str] = Counter()
        self.messages: Counter[Encoding] = Counter()
        self.segments: Counter[Encoding] = Counter()
        self.outside: Counter[str] = Counter()
        self.too_long = 0
        self.has_own_link = False
        self.longest = 0
        self.noticed: Counter[str] = Counter()
        self.first_rows: dict[str, list[int]] = {}
        self._meant = set(_NO_VALUE.findall(template))  # such a word in the text of all rows is intended
        self._first_samples: list[Sample] = []
        self._samples_of_kinds: dict[tuple[str, Encoding, int], Sample] = {}

    def add(self, checked: Candidate | Result) -> None:
        """Count a row: what would be sent, or how it ended without being sent."""
        self.rows += 1
        if isinstance(checked, Result):
            self.left_out[checked.outcome] += 1
            reason = checked.reason
            kind = (checked.outcome, reason.code.value, reason.general) if reason else (checked.outcome, None, "")
            _count(self.reasons, kind)
            return
        self.invites += 1
        if checked.wait is not None:
            _count(self.later, checked.wait)
        invite = checked.invite
        country = country_of(invite.to)
        self.countries[country] += 1
        segments = count_segments(invite.with_link(ASSUMED_LINK))
        self.messages[segments.encoding] += 1
        self.segments[segments.encoding] += segments.count
        self.longest = max(self.longest, segments.count)
        self.too_long += segments.too_long
        if segments.encoding is Encoding.UCS2:
            for character in set(outside_gsm7(invite.with_link(""))):
                _count(self.outside, character)
        self.has_own_link = isinstance(invite, SmsInvite)
        for what in self._oddities(invite):
            self.noticed[what] += 1
            rows = self.first_rows.setdefault(what, [])
            if len(rows) < _MOST_ROWS_NAMED:
                rows.append(checked.position)
        self._keep_sample(checked, country, segments)

    def _oddities(self, invite: Invite) -> Iterator[str]:
        link = invite.link if isinstance(invite, SmsInvite) else ""
        if outside_gsm7(link):
            yield "the link has characters outside GSM-7, so that an SMS holds 70 instead of 160"
        if len(link) > _LONG_LINK:
            yield f"the link is longer than {_LONG_LINK} characters; shorten_links=True makes it short"
        if invite.to.endswith(_ROUNDED):
            yield "the number ends in five zeros or more; a spreadsheet may have rounded it"
        for word in set(_NO_VALUE.findall(invite.message)) - self._meant:
            yield f"{word} is in the text, perhaps in place of a name"

    def _keep_sample(self, candidate: Candidate, country: str, segments: Segments) -> None:
        # The first of each kind, then the first ones, so that samples differ from each other.
        kind = (country, segments.encoding, segments.count)
        is_new = kind not in self._samples_of_kinds and len(self._samples_of_kinds) < _MOST_SAMPLES
        if not is_new and len(self._first_samples) >= _MOST_SAMPLES:
            return
        invite = candidate.invite
        to, message, encoding = mask_number(invite.to), _shown(invite.message), segments.encoding.value
        sample = Sample(candidate.position, to, country, message, encoding, segments.count)
        if is_new:
            self._samples_of_kinds[kind] = sample
        if len(self._first_samples) < _MOST_SAMPLES:
            self._first_samples.append(sample)

    def to_json(self) -> dict[str, Any]:
        """Return the summary for the manifest, as plain data."""
        return {
            "rows": self.rows,
            "invites": self.invites,
            "later": self.later.total(),  # those that wait for their send window
            "left_out": {outcome.value: count for outcome, count in self.left_out.most_common()},
            "reasons": [
                {"outcome": outcome.value, "code": code, "reason": text, "rows": count}
                for (outcome, code, text), count in self.reasons.most_common(MOST_REASONS)
            ],
            "countries": dict(self.countries.most_common()),
            "segments": {
                "estimate": True,
                "assumed_link_length": None if self.has_own_link else len(ASSUMED_LINK),
                "total": self.segments.total(),
                "longest": self.longest,
                "too_long": self.too_long,
                "by_encoding": {
                    encoding.value: {"invites": self.messages[encoding], "segments": self.segments[encoding]}
                    for encoding in Encoding
                },
                "outside_gsm7": dict(self.outside.most_common(MOST_CHARACTERS)),
            },
            "noticed": [
                {"what": what, "invites": count, "first_rows": self.first_rows[what]}
                for what, count in self.noticed.most_common()
            ],
            "cost": self.cost,
            "currency": self.currency,
            "samples": [asdict(sample) for sample in self.samples],
        }

    @property
    def cost(self) -> float | None:
        """The estimated cost, in the currency of the price; None without a price."""
        return None if self.price is None else round(self.segments.total() * self.price, 2)

    @property
    def samples(self) -> list[Sample]:
        """At most five invites, with numbers masked, in the order of the list."""
        by_row = {sample.row: sample for sample in [*self._samples_of_kinds.values(), *self._first_samples]}
        return sorted(list(by_row.values())[:_MOST_SAMPLES], key=lambda sample: sample.row)


def _count(counter: Counter[Any], key: Any) -> None:
    """Count, but no more different keys than a person could look at."""
    if key in counter or len(counter) < _MOST_KINDS:
        counter[key] += 1


def _shown(message: str) -> str:
    """Return a message for people: dates stay, other long numbers are masked."""
    text = message[: 2 * _LONGEST_SAMPLE].replace(_DATE_HERE, "")
    lines = []
    for line in text.splitlines():
        dates = iter([found.group() for found in _DATE.finditer(line)])
        masked = scrub(_DATE.sub(_DATE_HERE, line))
        lines.append("".join(next(dates) if character == _DATE_HERE else character for character in masked))
    return cut("\n".join(lines), _LONGEST_SAMPLE)
