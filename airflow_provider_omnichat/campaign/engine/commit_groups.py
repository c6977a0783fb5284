"""How many invites a commit claims: those that may be sent until the next one is done."""

from __future__ import annotations

from math import ceil
from time import monotonic

from airflow_provider_omnichat.campaign.engine.rows_ahead import LARGEST_BLOCK
from airflow_provider_omnichat.campaign.sending.pacer import Pacer
from airflow_provider_omnichat.campaign.sending.sender import Sender

_FIRST_INVITES = 4
_FIRST_COMMIT_SECONDS = 0.01
_FIRST_REQUEST_SECONDS = 0.1
# The weight of the last commit in the measures. A very long one, as in an outage, counts only as this many usual ones.
_WEIGHT = 0.2
_MOST_GROWTH = 4.0
_MEASURED_SECONDS = 0.25
# The longest rest after a commit, in times as long as it took.
_MOST_REST = 4.0
# Commits and answers do not come evenly: several times the usual number may be sent during a commit, if that is few.
_MARGIN = 1.1
_BURST = 5.0
_LARGEST_BURST = 0.5  # invites a connection


class CommitGroups:
    """
    Sizes groups by the measured times of a commit and of a request.

    What is claimed and not sent, or answered and not recorded, is in doubt after a kill. So there is as little of it as
    the ledger allows: a fast one makes small groups, a slow one large ones. However slow it is, no more are claimed and
    not recorded than those under way and two groups of *group_factor* invites a connection.
    """

    def __init__(self, pacer: Pacer, sender: Sender, concurrency: int, group_factor: float) -> None:
        self._pacer = pacer
        self._sender = sender
        self._concurrency = concurrency
        self._factor = group_factor
        self._most_unended = ceil((1 + 2 * group_factor) * concurrency)
        self._commit_seconds = self._cycle_seconds = _FIRST_COMMIT_SECONDS
        self._request_seconds = _FIRST_REQUEST_SECONDS
        self._began = self._measured = monotonic()
        self._ended, self._busy_seconds = 0, 0.0

    def wanted(self) -> int:
        """Return how many invites to claim now: those that may leave before the claims of the next commit are there."""
        sender = self._sender
        if sender.stopped.is_set():
            return LARGEST_BLOCK
        if sender.refused > 2 * self._concurrency:
            return 0
        lead = _MARGIN * (self._cycle_seconds + self._commit_seconds)
        # Not by the pace: it is low where there was nothing to send, and would stay so.
        sent_meanwhile = lead / self._request_seconds
        sent_at_most = max(sent_meanwhile, min(_BURST * sent_meanwhile, _LARGEST_BURST))
        goal = self._concurrency - sender.busy + ceil(self._concurrency * sent_at_most)
        if self._pacer.rate is not None:
            goal = min(goal, ceil(self._pacer.rate * lead))
        if not sender.ended_count:
            goal = min(goal, _FIRST_INVITES)
        return max(0, min(goal - sender.ahead, self._most_unended - sender.unended, LARGEST_BLOCK))

    def begin(self) -> None:
        """Note that a commit begins."""
        self._began = monotonic()

    def done(self) -> float:
        """
        Note that it is done, and return the seconds until the next one.

        One follows the other at once, unless commits are faster than requests: many small groups would only cost CPU.
        """
        now = monotonic()
        took = now - self._began
        self._measure_requests(now)
        rest = min(_MOST_REST * took, max(0.0, self._factor * self._request_seconds - took))
        self._commit_seconds = _smoothed(self._commit_seconds, took)
        self._cycle_seconds = _smoothed(self._cycle_seconds, took + rest)
        return rest

    def _measure_requests(self, now: float) -> None:
        ended, busy_seconds = self._sender.ended_count, self._sender.busy_seconds
        if ended > self._ended:
            took = (busy_seconds - self._busy_seconds) / (ended - self._ended)
            weight = min(1.0, (now - self._measured) / _MEASURED_SECONDS) if self._ended else 1.0
            self._request_seconds += weight * (max(took, 0.001) - self._request_seconds)
            self._measured, self._ended, self._busy_seconds = now, ended, busy_seconds


def _smoothed(before: float, measured: float) -> float:
    return before + _WEIGHT * (min(measured, _MOST_GROWTH * before) - before)
