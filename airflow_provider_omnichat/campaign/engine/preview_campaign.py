"""A batch without the sending: what it would do, for the person who has to approve it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import Reason
from airflow_provider_omnichat.campaign.ledger.frequency_cap import FrequencyCap
from airflow_provider_omnichat.campaign.ledger.interface import CERTAINLY_NOT_SENT, Claim
from airflow_provider_omnichat.campaign.ledger.retake import already_invited
from airflow_provider_omnichat.campaign.ledger.sql_ledger import SqlLedger
from airflow_provider_omnichat.campaign.model.rows import Candidate, Refusal, Result
from airflow_provider_omnichat.campaign.phone.identity import identity_of
from airflow_provider_omnichat.campaign.preview.statistics import Preview
from airflow_provider_omnichat.campaign.results.tally import Tally

_BLOCK = 1000

Lookup = Callable[[Sequence[Candidate]], dict[str, Refusal]]
"""Gives, by recipient, why some of these would not be sent."""


def preview_of(
    checked: Iterable[Candidate | Result], preview: Preview, lookup: Lookup | None = None, *, waits: bool = True
) -> Tally:
    """
    Read the list and send nothing: no client is made, and a ledger is only read.

    :param checked: the rows, as the gate with which the batch would be sent gives them.
    :param preview: takes them in.
    :param lookup: knows whom the ledger would leave out; None where there is none to ask.
    :param waits: False if whoever is outside the send window is left out.
    :return: how the rows would end. What would be sent counts as ``not_sent``, later as ``held``.
    """
    tally = Tally()
    for block in _blocks(checked):
        candidates = [one for one in block if isinstance(one, Candidate)]
        refused = lookup(candidates) if lookup and candidates else {}
        for one in block:
            if isinstance(one, Candidate):
                if one.recipient in refused:
                    refusal = refused[one.recipient]
                    one = _ended(one, refusal.outcome, refusal.reason)
                elif one.wait and not waits:
                    one = _ended(one, Outcome.HELD, one.wait.reason)
                else:
                    preview.add(one)
                    tally.add(_ended(one, Outcome.HELD if one.wait else Outcome.NOT_SENT))
                    continue
            preview.add(one)
            tally.add(one)
    return tally


def known_to(ledger: SqlLedger, cap: FrequencyCap | None) -> Lookup:
    """
    Give what asks a ledger, and claims nothing.

    :param ledger: of the campaign.
    :param cap: that would be kept; None for none.
    """

    def lookup(candidates: Sequence[Candidate]) -> dict[str, Refusal]:
        claims = [Claim(one.recipient, identity_of(one.invite.to), one.key) for one in candidates]
        refused = {
            recipient: Refusal(Outcome.DUPLICATE, already_invited())
            for recipient, entry in ledger.find(claims).items()
            if entry.outcome not in CERTAINLY_NOT_SENT
        }
        free = {one.identity: one.recipient for one in claims if one.recipient not in refused}
        if cap is not None and free:
            counts = ledger.count_recent(free, datetime.now(UTC) - cap.period)
            refused |= {free[number]: Refusal(Outcome.SUPPRESSED, cap.reason) for number in cap.over(counts)}
        return refused

    return lookup


def _blocks(checked: Iterable[Candidate | Result]) -> Iterator[list[Candidate | Result]]:
    rows = iter(checked)
    while block := list(itertools.islice(rows, _BLOCK)):
        yield block


def _ended(candidate: Candidate, outcome: Outcome, reason: Reason | None = None) -> Result:
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    return Result(candidate.position, candidate.key, candidate.invite.to, outcome, at, reason=reason)
