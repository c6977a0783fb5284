"""The summary of a dry run for people, in Markdown. Text from the rows is escaped: it is shown, not rendered."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC

from airflow_provider_omnichat.campaign.model.segments import ASSUMED_LINK, MOST_BYTES, MOST_SEGMENTS, Encoding
from airflow_provider_omnichat.campaign.phone.location import NO_COUNTRY
from airflow_provider_omnichat.campaign.preview.statistics import MOST_CHARACTERS, MOST_REASONS, Preview

_MOST_COUNTRIES = 15
_MARKUP = re.compile(r"[\\`*_\[\]#~|!]")
_LIST_OR_RULE = re.compile(r"([-+=])|(\d+)([.)])")


def markdown_of(preview: Preview) -> str:
    """Return the summary of a dry run that has counted all its rows."""
    blocks = [
        f"## Dry run: nothing was sent\n\n{headline_of(preview)}",
        *_where(preview),
        *_when(preview),
        *_length(preview),
        *_noticed(preview),
        *_who_not(preview),
        *_examples(preview),
    ]
    return "\n\n".join(blocks) + "\n"


def headline_of(preview: Preview) -> str:
    """Return the first line of the summary: how many people, how many SMS."""
    left_out = preview.rows - preview.invites
    of = f" of {preview.rows:,} rows" if left_out else ""
    total = preview.segments.total()
    cost = f", about **{total:,} SMS** to pay for" if total else ""
    if total and preview.cost is not None:
        currency = f" {_escaped(preview.currency)}" if preview.currency else ""
        cost += f", together about **{preview.cost:,.2f}{currency}** at {preview.price:,g}{currency} each"
    tail = f" {left_out:,} {'is' if left_out == 1 else 'are'} left out." if left_out else ""
    people = "person" if preview.invites == 1 else "people"
    return f"**{preview.invites:,}** {people}{of} would be invited{cost}.{tail}"


def _where(preview: Preview) -> list[str]:
    shown = preview.countries.most_common(_MOST_COUNTRIES)
    lines = [_line(_country_name(country), f"{count:,}", _share(preview, count)) for country, count in shown]
    others = preview.invites - sum(count for _, count in shown)
    if others:
        names = len(preview.countries) - len(shown)
        lines.append(_line(f"{names} others", f"{others:,}", _share(preview, others)))
    return ["### Where", _table(("Country", "Invites", "Share"), lines)] if lines else []


def _when(preview: Preview) -> list[str]:
    if not preview.later:
        return []
    shown = sorted(preview.later.most_common(MOST_REASONS))
    lines = [_line("at once", "", f"{preview.invites - preview.later.total():,}")]
    lines += [
        _line(f"from {wait.opens_at.astimezone(UTC):%Y-%m-%d %H:%M}", _escaped(wait.until), f"{count:,}")
        for wait, count in shown
    ]
    if others := preview.later.total() - sum(count for _, count in shown):
        lines.append(_line("at other times", "", f"{others:,}"))
    return ["### When", _table(("When (UTC)", "On their clock", "Invites"), lines)]


def _length(preview: Preview) -> list[str]:
    if not preview.invites:
        return []
    lines = [
        _line(encoding, f"{preview.messages[encoding]:,}", f"{preview.segments[encoding]:,}")
        for encoding in Encoding
        if preview.messages[encoding]
    ]
    links = f"the vendor puts in a link of unknown length, assumed to be {len(ASSUMED_LINK)} characters"
    counted = "counted with your own link; the vendor bills by its own count" if preview.has_own_link else links
    notes = [f"An estimate: {counted}. The longest message takes {preview.longest} SMS."]
    if preview.outside:
        characters = ", ".join(
            f"{_character(character)} in {count:,}" for character, count in preview.outside.most_common(MOST_CHARACTERS)
        )
        notes.append(f"UCS-2 has 70 characters in an SMS where GSM-7 has 160. What makes messages UCS-2: {characters}.")
    if preview.too_long:
        notes.append(
            f"**{preview.too_long:,} over {MOST_SEGMENTS} SMS or {MOST_BYTES:,} bytes with a link of that length: the"
            " vendor refuses these.**"
        )
    return ["### How long", _table(("Encoding", "Messages", "SMS"), lines), *notes]


def _noticed(preview: Preview) -> list[str]:
    lines = [
        _line(f"{count:,}", _escaped(what), ", ".join(f"{row:,}" for row in preview.first_rows[what]))
        for what, count in preview.noticed.most_common()
    ]
    return ["### Look at these", _table(("Invites", "What", "First rows"), lines)] if lines else []


def _who_not(preview: Preview) -> list[str]:
    shown = preview.reasons.most_common(MOST_REASONS)
    lines = [
        _line(f"{count:,}", outcome.label, _escaped(" ".join(text.split())) or "no reason given")
        for (outcome, _, text), count in shown
    ]
    others = Counter(preview.left_out)
    for (outcome, _, _), count in shown:
        others[outcome] -= count
    lines += [
        _line(f"{count:,}", outcome.label, "for other reasons") for outcome, count in others.most_common() if count
    ]
    return ["### Who is left out, and why", _table(("Rows", "Outcome", "Reason"), lines)] if lines else []


def _examples(preview: Preview) -> list[str]:
    blocks = ["### Examples"] if preview.samples else []
    for sample in preview.samples:
        to = f"{_escaped(sample.to)} ({_country_name(sample.country)})"
        head = f"Row {sample.row:,}, to {to}, {sample.segments} SMS:"
        text = "  \n".join(f"> {_escaped(line)}" for line in sample.message.split("\n"))
        blocks.append(f"{head}\n\n{text}")
    return blocks


def _share(preview: Preview, count: int) -> str:
    return f"{100 * count / preview.invites:.1f}%"


def _country_name(code: str) -> str:
    return {NO_COUNTRY: "unknown", "001": "international"}.get(code, code)


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _character(character: str) -> str:
    code = f"U+{ord(character):04X}"
    return f"{_escaped(character)} ({code})" if character.isprintable() else code


def _table(head: tuple[str, ...], lines: list[str]) -> str:
    return "\n".join([_line(*head), _line(*["---"] * len(head)), *lines])


def _escaped(text: str) -> str:
    """Escape a line, so that Markdown and HTML show it as it is, in a paragraph or a cell of a table."""
    text = _MARKUP.sub(r"\\\g<0>", text.strip())
    begins = _LIST_OR_RULE.match(text)
    if begins:
        at = begins.end() - 1
        text = f"{text[:at]}\\{text[at:]}"
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
