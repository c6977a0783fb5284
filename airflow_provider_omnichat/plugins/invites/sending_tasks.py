"""Task instances that send invites, their progress as they pushed it, and where their rows are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import AwareDatetime, BaseModel, Field, ValidationError, model_validator

from airflow_provider_omnichat.campaign.ledger.sql_table import DEFAULT_TABLE
from airflow_provider_omnichat.campaign.model.place import NoPlace, Place, PlaceError
from airflow_provider_omnichat.tasks.places import Batch, place_of

if TYPE_CHECKING:
    from airflow.models.taskinstance import TaskInstance

STATES_AT_WORK = frozenset({"queued", "running", "restarting", "deferred", "scheduled", "up_for_reschedule"})
"""States in which a task is sending, or will go on by itself."""

_STATES_OF_A_TRY = frozenset({"running", "restarting", "deferred"})

# Numbers that pages add, divide, draw and compare; no campaign has larger ones.
Count = Annotated[int, Field(ge=0, le=10**12)]
Seconds = Annotated[float, Field(ge=0, le=10**9, allow_inf_nan=False)]
Moment = Annotated[AwareDatetime, Field(ge=datetime(2000, 1, 1, tzinfo=UTC), le=datetime(2200, 1, 1, tzinfo=UTC))]
_MOST_MOMENTS = 200
_MOST_WORDS = 100


class ReasonCount(BaseModel):
    """How many rows ended for one reason."""

    outcome: str
    code: str | None = None
    name: str | None = None
    count: Count = 0
    first: list[str | Count] = Field(default_factory=list, max_length=_MOST_WORDS)


class Timeline(BaseModel):
    """Totals at moments of one process."""

    seconds: list[Seconds] = Field(default_factory=list, max_length=_MOST_MOMENTS)
    accepted: list[Count] = Field(default_factory=list)
    rejected: list[Count] = Field(default_factory=list)
    unknown: list[Count] = Field(default_factory=list)
    refused_for_now: list[Count] = Field(default_factory=list)

    @model_validator(mode="after")
    def _has_all_totals_of_each_moment(self) -> Self:
        totals = (self.accepted, self.rejected, self.unknown, self.refused_for_now)
        if any(len(each) != len(self.seconds) for each in totals) or sorted(self.seconds) != self.seconds:
            raise ValueError("there must be a total of each kind for each moment, and moments in their order")
        return self


class TaskProgress(BaseModel):
    """The progress that a task pushed, see ``tasks.live_progress``; users who may edit XComs may have changed it."""

    campaign: str
    try_number: int = 1
    results: str | None = None
    at: Moment | None = None
    started_at: Moment | None = None
    rows: Count = 0
    total: Count | None = None
    counts: dict[str, Count] = Field(default_factory=dict, max_length=_MOST_WORDS)
    reasons: list[ReasonCount] = Field(default_factory=list, max_length=_MOST_WORDS)
    sent_this_try: Count = 0
    segments: Count = 0
    refused_for_now: Count = 0
    rate_limit: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    stop_reason: str | None = None
    opens_at: Moment | None = None
    is_over: bool | None = None
    timeline: Timeline = Field(default_factory=Timeline)


@dataclass(frozen=True, slots=True)
class SendingTask:
    """A task instance that sends, or has sent; the last four say what its ledger has, see :mod:`.standing`."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    state: str | None
    try_number: int
    start_date: datetime | None
    end_date: datetime | None
    progress: TaskProgress
    rendered: Mapping[str, Any]  # its template fields, as the worker wrote them
    region_id: Any = None  # sets instances of one map index apart, from Airflow 3.4 on
    settled: Mapping[str, int] = field(default_factory=dict)  # doubts as "sent" or "not_sent", and not claimed again
    of_others: int = 0  # its rows that another task of the campaign left in doubt
    elsewhere: Mapping[str, int] = field(default_factory=dict)  # doubts left by others, by their identity
    problem: str = ""  # why it could not be asked

    @property
    def has_died(self) -> bool:
        """Whether the try that pushed its progress has ended without a last word."""
        return self.progress.is_over is False and self.state not in _STATES_OF_A_TRY

    @property
    def left(self) -> int:
        """How many rows of its list have no outcome yet; 0 if the length of the list is not known."""
        return max((self.progress.total or 0) - self.progress.rows, 0)

    @property
    def counts_of_list(self) -> dict[str, int]:
        """Rows by outcome, with those that have none."""
        left = {"to_come" if self.is_at_work else "not_reached": self.left} if self.left else {}
        return {**self.progress.counts, **left}

    @property
    def is_at_work(self) -> bool:
        return self.state in STATES_AT_WORK

    @property
    def identity(self) -> str:
        """Its name in the ledger and the results; see ``tasks.ledger.task_identity``."""
        parts = [self.dag_id, self.run_id, self.task_id]
        return "/".join(parts if self.map_index < 0 else [*parts, str(self.map_index)])

    @property
    def ledger_table(self) -> str:
        return self.rendered_text("ledger_table") or DEFAULT_TABLE

    def rendered_text(self, name: str) -> str | None:
        """Return a rendered field, a whole number as text; None if it is empty or something else."""
        value = self.rendered.get(name)
        return str(value) if isinstance(value, str | int) and value not in ("", "None") else None

    @classmethod
    def of(cls, ti: TaskInstance, value: Any, rendered: Any) -> Self | None:
        """Read an XCom and the rendered fields of a task; None if the XCom is something else."""
        try:
            progress = TaskProgress.model_validate(value)
        except ValidationError:
            return None
        same = ("dag_id", "run_id", "task_id", "map_index", "try_number", "start_date", "end_date")
        return cls(
            **{name: getattr(ti, name) for name in same},
            state=str(ti.state) if ti.state else None,
            progress=progress,
            rendered=rendered if isinstance(rendered, Mapping) else {},
            region_id=getattr(ti, "region_id", None),
        )


def row_place(task: SendingTask) -> Place:
    """Find where the rows of a task are; if they cannot be reached, the place says why."""
    if not task.rendered:
        return NoPlace("Airflow no longer has the rendered fields of this task, which say where its rows are")
    # Connections and tables come from the rendered fields, which only a worker writes: an XCom may be edited by people
    # who have no right to a connection.
    pushed = task.progress
    batch = Batch(
        task.identity,
        pushed.campaign,
        task.rendered_text,
        is_rendered=True,
        has_ended=task.has_died or not task.is_at_work,
        pushed_location=pushed.results,
    )
    try:
        return place_of(batch)
    except PlaceError as error:
        return NoPlace(str(error))
    except Exception as error:  # no such connection, or a provider that the API server lacks
        return NoPlace(
            f"Airflow's API server cannot reach the rows ({type(error).__name__}). It needs the connection that the"
            " task uses, and the provider of its type"
        )
