"""What a campaign would do, for a person who must approve it: how many, where, how long, in which words, who not."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.privacy import mask_number, scrub
from airflow_provider_omnichat.campaign.model.rows import Candidate, Result
from airflow_provider_omnichat.campaign.model.segments import (
    ASSUMED_LINK_LENGTH,
    MOST_BYTES,
    MOST_PARTS,
    Encoding,
    Segments,
    estimate_segments,
    outside_gsm7,
)
from airflow_provider_omnichat.campaign.phone.country_codes import NO_COUNTRY, country_of

"""Stands for a number whose country cannot be told; ISO 3166 leaves these two letters to users."""

_MOST_REASONS = 10
_MOST_SAMPLES = 5
_MOST_CHARACTERS = 10
_MOST_COUNTRIES = 15
_MOST_KINDS = 1000
_LONGEST_SAMPLE = 500

# What is different in each row although the reason is the same.
_LINE = re.compile(r"^line \d+: ")
_MASKED = re.compile(r"^((?:\w+: )?).{0,5}\*{4}.{0,2} |\S*\*{4}\S*")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[+-]\d\d:\d\d)?")
_EXAMPLE = re.compile(r"; write it like .*")
_PLACE = re.compile(r"\b(line|character) \d+|\b\d+( characters)")
_LENGTH = re.compile(r"(?<=is too long: ).*(?= without the link)")
# Digits that may be shown in a sample although a phone number could be as long.
_DATE = re.compile(
    r"(?<![\d./()+-])(?<!\d )"
    r"(?:(?:19|20)\d\d-[01]\d-[0-3]\d|[0-3]?\d([./])[0-3]?\d\1(?:19|20)\d\d)"
    r"(?![./()-]?\d)(?! \d(?!\d?:\d\d))"
)
_DATE_HERE = "\ue000"


@dataclass(frozen=True, slots=True)
class _Sample:
    row: int
    to: str
    country: str
    message: str
    segments: Segments


class Preview:
    """
    Sums up a dry run row by row; its memory does not grow with the list.

    Neither form that it gives has a whole phone number in it: those in messages are masked, too.

    :param link_length: characters that the link is taken to have which the vendor puts in.
    :param price_per_segment: of one SMS, in the user's currency; None where it is not known.
    """

    def __init__(self, link_length: int = ASSUMED_LINK_LENGTH, price_per_segment: float | None = None) -> None:
        self._link_length = link_length
        self._price = price_per_segment
        self._later: Counter[str] = Counter()
        self._rows = 0
        self._invites = 0
        self._left_out: Counter[Outcome] = Counter()
        self._reasons: Counter[tuple[Outcome, str]] = Counter()
        self._countries: Counter[str] = Counter()
        self._messages: Counter[Encoding] = Counter()
        self._segments: Counter[Encoding] = Counter()
        self._outside: Counter[str] = Counter()
        self._too_long = 0
        self._longest = 0
        self._first: list[_Sample] = []
        self._kinds: dict[tuple[str, Encoding, int], _Sample] = {}

    def add(self, checked: Candidate | Result) -> None:
        """
        Take in a row.

        :param checked: what would be sent, or how the row ended without being sent.
        """
        self._rows += 1
        if isinstance(checked, Result):
            self._left_out[checked.outcome] += 1
            _count(self._reasons, (checked.outcome, _reason(checked.error)))
            return
        self._invites += 1
        if checked.wait is not None:
            _count(self._later, checked.wait.until)
        invite = checked.invite
        country = country_of(invite.to)
        self._countries[country] += 1
        segments = estimate_segments(invite.message, invite.link_placeholder, self._link_length)
        self._messages[segments.encoding] += 1
        self._segments[segments.encoding] += segments.parts
        self._longest = max(self._longest, segments.parts)
        self._too_long += segments.too_long
        if segments.encoding is Encoding.UCS2:
            for character in set(outside_gsm7(invite.message.replace(invite.link_placeholder, ""))):
                _count(self._outside, character)
        self._show(checked, country, segments)

    def to_json(self) -> dict[str, Any]:
        """
        Give the summary for the manifest, as plain data.

        :return: ``rows``, ``invites``, ``later`` (how many of these have to wait for their send window), ``left_out``
            (rows by outcome), ``reasons`` (the ten most frequent: ``outcome``, ``reason``, ``rows``), ``countries``
            (invites by ISO 3166 code, ``ZZ`` where it cannot be told, ``001`` for numbers of no country), ``segments``
            (an estimate: ``total``, ``longest``, ``too_long``, ``by_encoding``, ``outside_gsm7``,
            ``assumed_link_length``), ``cost`` (an estimate; None without a price) and ``samples``.
        """
        return {
            "rows": self._rows,
            "invites": self._invites,
            "later": self._later.total(),
            "left_out": {outcome.value: count for outcome, count in self._left_out.most_common()},
            "reasons": [
                {"outcome": outcome.value, "reason": reason, "rows": count}
                for (outcome, reason), count in self._reasons.most_common(_MOST_REASONS)
            ],
            "countries": dict(self._countries.most_common()),
            "segments": {
                "estimate": True,
                "assumed_link_length": self._link_length,
                "total": self._segments.total(),
                "longest": self._longest,
                "too_long": self._too_long,
                "by_encoding": {
                    encoding.value: {"invites": self._messages[encoding], "segments": self._segments[encoding]}
                    for encoding in Encoding
                },
                "outside_gsm7": dict(self._outside.most_common(_MOST_CHARACTERS)),
            },
            "cost": self.cost,
            "samples": [
                {
                    "row": sample.row,
                    "to": sample.to,
                    "country": sample.country,
                    "message": sample.message,
                    "encoding": sample.segments.encoding.value,
                    "segments": sample.segments.parts,
                }
                for sample in self._samples()
            ],
        }

    @property
    def cost(self) -> float | None:
        """What it would cost, in the currency of the price; None without a price."""
        return None if self._price is None else round(self._segments.total() * self._price, 2)

    def to_markdown(self) -> str:
        """Give the summary for people. What comes from the rows is escaped: it is shown, not rendered."""
        blocks = [
            self._headline(),
            *self._where(),
            *self._when(),
            *self._length(),
            *self._who_not(),
            *self._examples(),
        ]
        return "\n\n".join(blocks) + "\n"

    def _show(self, candidate: Candidate, country: str, segments: Segments) -> None:
        """Keep the first of each kind, then the first ones, so that the samples show what differs."""
        kind = (country, segments.encoding, segments.parts)
        new = kind not in self._kinds and len(self._kinds) < _MOST_SAMPLES
        if not new and len(self._first) >= _MOST_SAMPLES:
            return
        invite = candidate.invite
        sample = _Sample(candidate.position, mask_number(invite.to), country, _shown(invite.message), segments)
        if new:
            self._kinds[kind] = sample
        if len(self._first) < _MOST_SAMPLES:
            self._first.append(sample)

    def _samples(self) -> list[_Sample]:
        by_row = {sample.row: sample for sample in [*self._kinds.values(), *self._first]}
        return sorted(list(by_row.values())[:_MOST_SAMPLES], key=lambda sample: sample.row)

    def _headline(self) -> str:
        left_out = self._rows - self._invites
        of = f" of {self._rows:,} rows" if left_out else ""
        total = self._segments.total()
        cost = f", about **{total:,} SMS** to pay for" if total else ""
        if total and self.cost is not None:
            cost += f", together about **{self.cost:,.2f}** at {self._price:,g} each"
        tail = f" {left_out:,} {'is' if left_out == 1 else 'are'} left out." if left_out else ""
        people = "person" if self._invites == 1 else "people"
        return f"## Dry run: nothing was sent\n\n**{self._invites:,}** {people}{of} would be invited{cost}.{tail}"

    def _where(self) -> list[str]:
        shown = self._countries.most_common(_MOST_COUNTRIES)
        lines = [_line(_country_name(country), f"{count:,}", self._share(count)) for country, count in shown]
        others = self._invites - sum(count for _, count in shown)
        if others:
            names = len(self._countries) - len(shown)
            lines.append(_line(f"{names} others", f"{others:,}", self._share(others)))
        return ["### Where", _table(("Country", "Invites", "Share"), lines)] if lines else []

    def _when(self) -> list[str]:
        if not self._later:
            return []
        shown = self._later.most_common(_MOST_REASONS)
        lines = [_line("at once", f"{self._invites - self._later.total():,}")]
        lines += [_line(f"from {_escaped(moment)}", f"{count:,}") for moment, count in shown]
        if others := self._later.total() - sum(count for _, count in shown):
            lines.append(_line("at other times", f"{others:,}"))
        return ["### When", _table(("When", "Invites"), lines)]

    def _length(self) -> list[str]:
        if not self._invites:
            return []
        lines = [
            _line(encoding, f"{self._messages[encoding]:,}", f"{self._segments[encoding]:,}")
            for encoding in Encoding
            if self._messages[encoding]
        ]
        notes = [
            f"An estimate: the vendor puts a link of unknown length in, taken as {self._link_length} characters."
            f" The longest message takes {self._longest} SMS."
        ]
        if self._outside:
            characters = ", ".join(
                f"{_character(character)} in {count:,}"
                for character, count in self._outside.most_common(_MOST_CHARACTERS)
            )
            notes.append(
                f"UCS-2 has 70 characters in an SMS where GSM-7 has 160. What makes messages UCS-2: {characters}."
            )
        if self._too_long:
            notes.append(
                f"**{self._too_long:,} over {MOST_PARTS} SMS or {MOST_BYTES:,} bytes with a link of that length: the"
                " vendor refuses these.**"
            )
        return ["### How long", _table(("Encoding", "Messages", "SMS"), lines), *notes]

    def _who_not(self) -> list[str]:
        shown = self._reasons.most_common(_MOST_REASONS)
        lines = [
            _line(f"{count:,}", outcome.replace("_", " "), _escaped(reason) or "no reason given")
            for (outcome, reason), count in shown
        ]
        others = self._left_out.total() - sum(count for _, count in shown)
        if others:
            lines.append(_line(f"{others:,}", "", "for other reasons"))
        return ["### Who is left out, and why", _table(("Rows", "Outcome", "Reason"), lines)] if lines else []

    def _examples(self) -> list[str]:
        samples = self._samples()
        blocks = ["### What it reads like"] if samples else []
        for sample in samples:
            parts = sample.segments.parts
            head = f"Row {sample.row:,}, to {_escaped(sample.to)} ({_country_name(sample.country)}), {parts} SMS:"
            text = "  \n".join(f"> {_escaped(line)}" for line in sample.message.split("\n"))
            blocks.append(f"{head}\n\n{text}")
        return blocks

    def _share(self, count: int) -> str:
        return f"{100 * count / self._invites:.1f}%"


def _count(counter: Counter[Any], key: Any) -> None:
    """Count, but no more different things than a person could look at."""
    if key in counter or len(counter) < _MOST_KINDS:
        counter[key] += 1


def _reason(error: str | None) -> str:
    """Give a reason without what belongs to one row only, so that equal ones can be counted together."""
    text = _MASKED.sub(lambda found: found[1] or "", _LINE.sub("", error or ""))
    text = _LENGTH.sub("…", _EXAMPLE.sub("", _MOMENT.sub("…", text)))
    return scrub(_PLACE.sub(lambda found: f"{found[1]} …" if found[1] else f"…{found[2]}", text))


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


def _country_name(code: str) -> str:
    return {NO_COUNTRY: "unknown", "001": "international"}.get(code, code)


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _character(character: str) -> str:
    code = f"U+{ord(character):04X}"
    return f"{_escaped(character)} ({code})" if character.isprintable() else code


def _table(head: tuple[str, ...], lines: list[str]) -> str:
    return "\n".join([_line(*head), _line(*["---"] * len(head)), *lines])


_MARKUP = re.compile(r"[\\`*_\[\]#~|!]")
_LIST_OR_RULE = re.compile(r"([-+=])|(\d+)([.)])")


def _escaped(text: str) -> str:
    """Make a line one that Markdown and HTML show as it is, in a paragraph or a cell of a table."""
    text = _MARKUP.sub(r"\\\g<0>", text.strip())
    begins = _LIST_OR_RULE.match(text)
    if begins:
        at = begins.end() - 1
        text = f"{text[:at]}\\{text[at:]}"
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
