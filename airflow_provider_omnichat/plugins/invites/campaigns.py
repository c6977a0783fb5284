"""The campaigns of some days: one entry for each, with its runs and tasks; which of them, and in which order."""

# No annotations from __future__: see rows.py.

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter
from typing import Annotated, Literal, NamedTuple
from urllib.parse import urlencode

from fastapi import Query

from airflow_provider_omnichat.campaign.results.format import csv_line
from airflow_provider_omnichat.plugins.invites import outcomes
from airflow_provider_omnichat.plugins.invites.sending_tasks import SendingTask

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_OUTCOMES = ("unknown", "accepted", "rejected", "not_sent", "held", "invalid", "duplicate", "suppressed", "not_reached")
_CSV_COLUMNS = ("campaign", "dag", "run", "task", "instances", "state", "rows", *_OUTCOMES, "at")

Sort = Literal["due", "newest", "rows", "name"]


@dataclass(frozen=True, slots=True)
class CampaignsWanted:
    """The parameters of the page of campaigns; a dependency of FastAPI."""

    days: Annotated[int, Query(ge=1, le=90)] = 7
    q: Annotated[str, Query(max_length=200)] = ""
    show: Annotated[Literal["all", "due", "working", "done"], Query()] = "all"
    sort: Annotated[Sort, Query()] = "due"

    def address(self, **changes: object) -> str:
        """Return these choices, some of them changed, as the end of an address."""
        return "?" + urlencode({**asdict(self), **changes})


class Line(NamedTuple):
    """A task of one run, with all its instances."""

    task: SendingTask  # the instance that pushed last
    state_of: SendingTask  # one that is at work, else one that is red: a green one says nothing about the others
    instances: int
    campaign: str
    at: datetime
    rows: int
    counts: dict[str, int]
    due: int  # invites that somebody has to look at; a worker that died counts as one
    is_at_work: bool


class Campaign(NamedTuple):
    """A campaign and its lines, the newest first."""

    name: str
    lines: Sequence[Line]
    rows: int  # of all runs; a person may be in each
    counts: dict[str, int]


def chosen_campaigns(tasks: Sequence[SendingTask], wanted: CampaignsWanted) -> list[Campaign]:
    """Return the campaigns that were asked for, in the order that was asked for."""
    lines = [line for line in lines_of(tasks) if _is_wanted(line, wanted)]
    lines.sort(key=lambda line: line.at, reverse=True)
    lines.sort(key=lambda line: line.campaign)
    found = []
    for name, group in groupby(lines, key=attrgetter("campaign")):
        each = list(group)
        counts = outcomes.summed_counts(line.counts for line in each)
        found.append(Campaign(name, each, sum(line.rows for line in each), counts))
    if wanted.sort != "name":
        found.sort(key=lambda each: each.lines[0].at, reverse=True)
    if wanted.sort == "rows":
        found.sort(key=lambda each: each.rows, reverse=True)
    if wanted.sort == "due":
        found.sort(key=lambda each: not any(line.due for line in each.lines))
    return found


def lines_of(tasks: Sequence[SendingTask]) -> Iterator[Line]:
    """Put the instances of a task together."""
    name = attrgetter("dag_id", "run_id", "task_id")
    for _, instances in groupby(sorted(tasks, key=name), key=name):
        each = list(instances)
        newest = max(each, key=_at)
        counts = outcomes.summed_counts(task.counts_of_list for task in each)
        yield Line(
            task=newest,
            state_of=min(each, key=lambda task: (not task.is_at_work, not task.has_died, task.state == "success")),
            instances=len(each),
            campaign=newest.progress.campaign,
            at=_at(newest),
            rows=sum(task.progress.rows for task in each),
            counts=counts,
            due=counts.get("unknown", 0) + sum(task.has_died for task in each),
            is_at_work=any(task.is_at_work for task in each),
        )


def campaigns_csv(tasks: Sequence[SendingTask], wanted: CampaignsWanted) -> Iterator[str]:
    """Write a header, then a line for each task of a run."""
    yield csv_line(_CSV_COLUMNS)
    for campaign in chosen_campaigns(tasks, wanted):
        for line in campaign.lines:
            names = (line.campaign, line.task.dag_id, line.task.run_id, line.task.task_id, line.instances)
            counts = (line.counts.get(outcome, 0) for outcome in _OUTCOMES)
            yield csv_line((*names, line.state_of.state, line.rows, *counts, line.at.isoformat(timespec="seconds")))


def _is_wanted(line: Line, wanted: CampaignsWanted) -> bool:
    searched = wanted.q.strip().casefold()
    names = (line.campaign, line.task.dag_id, line.task.task_id, line.task.run_id)
    is_shown = {"all": True, "due": line.due > 0, "working": line.is_at_work, "done": not (line.due or line.is_at_work)}
    return is_shown[wanted.show] and any(searched in name.casefold() for name in names)


def _at(task: SendingTask) -> datetime:
    return task.progress.at or task.start_date or _LONG_AGO
