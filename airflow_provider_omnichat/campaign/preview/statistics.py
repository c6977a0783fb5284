"""What a campaign would do, for a person who must approve it: how many, where, how long, in which words, who not."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.model.rows import Candidate, Result, Wait
from airflow_provider_omnichat.campaign.model.segments import (
    ASSUMED_LINK_LENGTH,
    Encoding,
    estimate_segments,
    outside_gsm7,
)
from airflow_provider_omnichat.campaign.phone.location import country_of
from airflow_provider_omnichat.campaign.preview.markdown import MOST_CHARACTERS, MOST_REASONS, headline_of, markdown_of
from airflow_provider_omnichat.campaign.preview.samples import Sample, Samples

_MOST_KINDS = 1000
_MOST_ROWS_NAMED = 5
_ROUNDED = "00000"
# What a query or a data frame may have put in the place of a name.
_NOTHING_SAID = re.compile(r"(?<!\w)(?:NULL|null|N/A|n/a|None|NaN|nan|undefined)(?!\w)")


class Preview:
    """
    Sums up a dry run row by row; its memory does not grow with the list.

    Neither form that it gives has a whole phone number in it: those in messages are masked, too.

    :param link_length: characters that the link is taken to have which the vendor puts in.
    :param price_per_segment: of one SMS, in the user's currency; None where it is not known.
    :param currency: its name, for people; None where it is not known.
    :param template: the text of all rows; a word such as ``null`` in it is meant.
    """

    def __init__(
        self,
        link_length: int = ASSUMED_LINK_LENGTH,
        price_per_segment: float | None = None,
        currency: str | None = None,
        template: str = "",
    ) -> None:
        self.link_length = link_length
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
        self.longest = 0
        self.noticed: Counter[str] = Counter()
        self.first_rows: dict[str, list[int]] = {}
        self._meant = set(_NOTHING_SAID.findall(template))
        self._samples = Samples()

    def add(self, checked: Candidate | Result) -> None:
        """
        Take in a row.

        :param checked: what would be sent, or how the row ended without being sent.
        """
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
        segments = estimate_segments(invite.message, invite.link_placeholder, self.link_length)
        self.messages[segments.encoding] += 1
        self.segments[segments.encoding] += segments.parts
        self.longest = max(self.longest, segments.parts)
        self.too_long += segments.too_long
        if segments.encoding is Encoding.UCS2:
            for character in set(outside_gsm7(invite.message.replace(invite.link_placeholder, ""))):
                _count(self.outside, character)
        if invite.to.endswith(_ROUNDED):
            self._notice("the number ends in five zeros or more; a spreadsheet may have rounded it", checked.position)
        for word in set(_NOTHING_SAID.findall(invite.message)) - self._meant:
            self._notice(f"{word} stands in the text, perhaps for a name", checked.position)
        self._samples.add(checked, country, segments)

    def _notice(self, what: str, row: int) -> None:
        self.noticed[what] += 1
        rows = self.first_rows.setdefault(what, [])
        if len(rows) < _MOST_ROWS_NAMED:
            rows.append(row)

    def to_json(self) -> dict[str, Any]:
        """
        Give the summary for the manifest, as plain data.

        :return: ``rows``, ``invites``, ``later`` (how many of these have to wait for their send window), ``left_out``
            (rows by outcome), ``reasons`` (the ten most frequent: ``outcome``, ``code``, ``reason``, ``rows``),
            ``countries`` (invites by ISO 3166 code, ``ZZ`` where it cannot be told, ``001`` for numbers of no country),
            ``segments`` (an estimate: ``total``, ``longest``, ``too_long``, ``by_encoding``, ``outside_gsm7``,
            ``assumed_link_length``), ``noticed`` (what a person should look at: ``what``, ``invites``, ``first_rows``),
            ``cost`` (an estimate; None without a price), ``currency`` and ``samples``.
        """
        return {
            "rows": self.rows,
            "invites": self.invites,
            "later": self.later.total(),
            "left_out": {outcome.value: count for outcome, count in self.left_out.most_common()},
            "reasons": [
                {"outcome": outcome.value, "code": code, "reason": text, "rows": count}
                for (outcome, code, text), count in self.reasons.most_common(MOST_REASONS)
            ],
            "countries": dict(self.countries.most_common()),
            "segments": {
                "estimate": True,
                "assumed_link_length": self.link_length,
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
            "samples": [
                {
                    "row": sample.row,
                    "to": sample.to,
                    "country": sample.country,
                    "message": sample.message,
                    "encoding": sample.segments.encoding.value,
                    "segments": sample.segments.parts,
                }
                for sample in self.samples
            ],
        }

    @property
    def cost(self) -> float | None:
        """What it would cost, in the currency of the price; None without a price."""
        return None if self.price is None else round(self.segments.total() * self.price, 2)

    @property
    def samples(self) -> list[Sample]:
        """At most five invites, as they may be shown."""
        return self._samples.chosen()

    def headline(self) -> str:
        """Give the first line of it."""
        return headline_of(self)

    def to_markdown(self) -> str:
        """Give the summary for people."""
        return markdown_of(self)


def _count(counter: Counter[Any], key: Any) -> None:
    """Count, but no more different things than a person could look at."""
    if key in counter or len(counter) < _MOST_KINDS:
        counter[key] += 1
