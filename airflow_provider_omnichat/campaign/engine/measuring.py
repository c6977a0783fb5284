"""One pass over the whole list before the first send, to check its budget and its approval."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from airflow_provider_omnichat.api.errors import OmnichatError
from airflow_provider_omnichat.api.models import Invite
from airflow_provider_omnichat.campaign.checks.row_checker import RowChecker
from airflow_provider_omnichat.campaign.model.rows import BrokenRow, Candidate, Row
from airflow_provider_omnichat.campaign.model.segments import ASSUMED_LINK, count_segments
from airflow_provider_omnichat.campaign.preview.budget import Budget, Size


class CampaignRefusedError(OmnichatError):
    """The campaign cannot be sent as planned, and another try will not change that; nothing was sent."""


class NotApprovedError(OmnichatError, ValueError):
    """The list is not the one that was approved; nothing was sent."""


@dataclass(frozen=True, slots=True)
class ListMeasure:
    """Size and fingerprint of a whole list."""

    size: Size
    fingerprint: str


def measure_list(
    make_checker: Callable[[Callable[[Invite], None]], RowChecker], rows: Iterable[Row | BrokenRow]
) -> ListMeasure:
    """Read the whole list once; see :meth:`CampaignPlan.whole_list_checker` for *make_checker*."""
    invites, segments, fingerprint = 0, 0, Fingerprint()
    for checked in make_checker(fingerprint.add).checked(rows):
        if isinstance(checked, Candidate):
            invites += 1
            segments += count_segments(checked.invite.with_link(ASSUMED_LINK)).count
    return ListMeasure(Size(invites, segments), str(fingerprint))


def check_list(measure: ListMeasure, budget: Budget, approved: str | None = None) -> None:
    """
    Refuse a list that is beyond the budget or not the *approved* one, by fingerprint; None needs no approval.

    That one includes people who have opted out since: leaving somebody out needs no new approval.
    """
    budget.check(measure.size)
    if approved is not None and approved != measure.fingerprint:
        raise NotApprovedError(
            "approved: this is not the list that was approved: people or texts have changed since the preview. Make a"
            " new preview and have that approved"
        )


class Fingerprint:
    """Identifies a list by its people and texts, in any order, without revealing them."""

    def __init__(self) -> None:
        self._sum = 0  # of hashes, so that memory does not grow with the list

    def add(self, invite: Invite) -> None:
        """Count an invite in."""
        digest = hashlib.blake2b("\x00".join(invite.contents).encode(), digest_size=16).digest()
        self._sum = (self._sum + int.from_bytes(digest)) % 2**128

    def __str__(self) -> str:
        return f"{self._sum:032x}"
