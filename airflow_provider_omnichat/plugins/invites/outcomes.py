"""How outcomes are named, ordered and summed on the pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from airflow_provider_omnichat.api.outcomes import label_of
from airflow_provider_omnichat.plugins.invites.sending_tasks import ReasonCount, SendingTask

_CLAIMED = "claimed"
#: In doubt first: somebody has to look at them.
_ORDER = (
    *("unknown", _CLAIMED, "accepted", "rejected", "not_sent", "held", "invalid", "duplicate", "suppressed"),
    *("not_reached", "to_come"),
)

_EXPLAINED = ("unknown", "rejected", "not_sent", "held", "invalid", "duplicate", "suppressed")
OTHERS = "other_reasons"  # stands for the code of those that a task did not tell

_MOST_REASONS = 30
_MOST_KEYS = 5


class Share(NamedTuple):
    """One outcome of a campaign."""

    outcome: str
    label: str
    rows: int
    percent: float


def label(outcome: str) -> str:
    """Return the label of an outcome, or of a claim of a task that is sending."""
    return "being sent" if outcome == _CLAIMED else label_of(outcome)


def shares(counts: Mapping[str, int]) -> list[Share]:
    """Return the outcomes that occur, in the order in which they matter."""
    total = sum(counts.values()) or 1
    order = [*_ORDER, *sorted(set(counts) - set(_ORDER))]
    return [
        Share(outcome, label(outcome), counts[outcome], 100 * counts[outcome] / total)
        for outcome in order
        if counts.get(outcome)
    ]


def summed_counts(each: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Add up outcomes."""
    counts: Counter[str] = Counter()
    for some in each:
        counts.update(some)
    return dict(counts)


def summed_reasons(tasks: Sequence[SendingTask]) -> list[ReasonCount]:
    """Add up the reasons of tasks, doubts first; the rest of an outcome, which tasks do not tell, is one more."""
    found: dict[tuple[str, str | None, str | None], ReasonCount] = {}
    for task in tasks:
        for reason in task.progress.reasons:
            name = (reason.outcome, reason.code, reason.name)
            known = found.setdefault(name, reason.model_copy(update={"count": 0, "first": []}))
            known.count += reason.count
            known.first = [*known.first, *reason.first][:_MOST_KEYS]
    shown = sorted(found.values(), key=lambda each: (each.outcome != "unknown", -each.count))[:_MOST_REASONS]
    rest = Counter(summed_counts(task.progress.counts for task in tasks))
    for each in shown:
        rest[each.outcome] -= each.count
    others = (
        ReasonCount(outcome=outcome, code=OTHERS, count=rest[outcome]) for outcome in _EXPLAINED if rest[outcome] > 0
    )
    return [*shown, *others]
