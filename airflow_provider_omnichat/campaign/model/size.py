"""How large a list is, in what limits are set in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Size:
    """
    What a list comes to.

    :param invites: people who would be invited, now or when their window opens.
    :param segments: SMS that these take, an estimate.
    """

    invites: int
    segments: int
