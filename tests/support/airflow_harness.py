"""
Runs one operator the way Airflow does, without a database or a server.

On Airflow 3 by the task runner of the Task SDK, with a stand-in for the process that supervises it; on Airflow 2, which
has no such runner, by rendering and executing, which is less, and all that can be had.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

from pydantic import TypeAdapter

from tests.support.airflow_versions import AIRFLOW
from tests.support.deferrals import Deferral, deferral_of

_LINK = "_link_"
START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class TaskRun:
    """How one try went, and what the supervisor was told."""

    state: str
    error: BaseException | None
    xcom: dict[str, Any]
    store: dict[str, Any]
    rendered: dict[str, Any]
    sent: list[Any] = field(default_factory=list, repr=False)
    deferral: Deferral | None = None
    outlet_events: list[Any] = field(default_factory=list)
    links: dict[str, Any] = field(default_factory=dict)
    """Where the task's buttons in the UI go, by the name of the link's class."""

    def __post_init__(self) -> None:
        """Airflow keeps links among the XComs, whatever an operator pushes."""
        names = [name for name in self.xcom if name.startswith(_LINK)]
        self.links = {name.removeprefix(_LINK): self.xcom.pop(name) for name in names}

    @property
    def succeeded(self) -> bool:
        return self.state == "success"


class Supervisor:
    """
    Answers the task as the supervising process would.

    :param store: the task state store; handed on from try to try.
    :param on_message: sees each message first; what it raises or gives back, other than None, is the answer.
    :param keep: whether to keep all messages, which takes memory.
    """

    def __init__(
        self,
        store: dict[str, Any],
        connections: Mapping[str, Mapping[str, Any]],
        upstream: Mapping[str, Any],
        on_message: Callable[[Any], Any] | None,
        keep: bool = True,
    ) -> None:
        self.store = store
        self.connections = connections
        self.upstream = upstream
        self.on_message = on_message
        self.keep = keep
        self.xcom: dict[str, Any] = {}
        self.sent: list[Any] = []
        self.socket = None

    def send(self, msg: Any) -> Any:
        if self.keep:
            self.sent.append(msg)
        if self.on_message and (given := self.on_message(msg)) is not None:
            return given
        handle = getattr(self, f"_on_{type(msg).__name__}", None)
        return handle(msg) if handle else None

    async def asend(self, msg: Any) -> Any:
        return self.send(msg)

    def _on_SetXCom(self, message: Any) -> None:
        self.xcom[message.key] = message.value

    def _on_GetXCom(self, message: Any) -> Any:
        from airflow.sdk.execution_time.comms import XComResult

        return XComResult(key=message.key, value=self.upstream.get(message.task_id))

    def _on_GetXComSequenceSlice(self, message: Any) -> Any:
        from airflow.sdk.execution_time.comms import XComSequenceSliceResult

        return XComSequenceSliceResult(root=[self.upstream.get(message.task_id)])

    def _on_GetXComSequenceItem(self, message: Any) -> Any:
        """Return the result of the mapped task of that index: its task's value in *upstream* is a list."""
        from airflow.sdk.exceptions import ErrorType
        from airflow.sdk.execution_time.comms import ErrorResponse, XComSequenceIndexResult

        given = self.upstream[message.task_id]
        if message.offset >= len(given):
            return ErrorResponse(error=ErrorType.XCOM_NOT_FOUND)
        return XComSequenceIndexResult(root=given[message.offset])

    def _on_GetConnection(self, message: Any) -> Any:
        from airflow.sdk.exceptions import ErrorType
        from airflow.sdk.execution_time.comms import ConnectionResult, ErrorResponse

        if message.conn_id not in self.connections:
            return ErrorResponse(error=ErrorType.CONNECTION_NOT_FOUND)
        given = dict(self.connections[message.conn_id])
        if isinstance(given.get("extra"), dict):
            given["extra"] = json.dumps(given["extra"])
        empty = dict.fromkeys(("host", "schema", "login", "password", "port", "extra"))
        return ConnectionResult(**{**empty, **given, "conn_id": message.conn_id})

    def _on_GetVariable(self, message: Any) -> Any:
        from airflow.sdk.exceptions import ErrorType
        from airflow.sdk.execution_time.comms import ErrorResponse

        return ErrorResponse(error=ErrorType.VARIABLE_NOT_FOUND)

    def _on_ValidateInletsAndOutlets(self, message: Any) -> Any:
        from airflow.sdk.execution_time.comms import InactiveAssetsResult

        return InactiveAssetsResult(inactive_assets=[])

    def _on_SetTaskStateStore(self, message: Any) -> Any:
        from airflow.sdk.execution_time.comms import OKResponse

        self.store[message.key] = message.value
        return OKResponse(ok=True)

    def _on_GetTaskStateStore(self, message: Any) -> Any:
        from airflow.sdk.exceptions import ErrorType
        from airflow.sdk.execution_time.comms import ErrorResponse, TaskStateStoreResult

        if message.key not in self.store:
            return ErrorResponse(error=ErrorType.TASK_STORE_NOT_FOUND)
        return TaskStateStoreResult(value=self.store[message.key])


def run_task(
    task: Any,
    *,
    store: dict[str, Any] | None = None,
    connections: Mapping[str, Mapping[str, Any]] | None = None,
    upstream: Mapping[str, Any] | None = None,
    on_message: Callable[[Any], Any] | None = None,
    try_number: int = 1,
    retries: int = 0,
    map_index: int = -1,
    resume: Deferral | None = None,
    keep: bool = True,
    cleared: int = 0,
) -> TaskRun:
    """
    Run one try of *task*, or what comes of it after a deferral.

    :param store: of an earlier try, to go on with; a new one if None.
    :param resume: the deferral after which it goes on.
    :param upstream: return values of other tasks by task id.
    :param keep: False where memory is measured: nothing is told of what was rendered and sent then.
    :param cleared: how often the run has been cleared.
    """
    store = {} if store is None else store
    if AIRFLOW < (3, 0):
        return _run_on_airflow_2(task, store, resume, try_number)
    supervisor = Supervisor(store, connections or {}, upstream or {}, on_message, keep)
    return _run_on_airflow_3(task, supervisor, try_number, retries, map_index, resume, cleared)


@cache
def _type_adapter(checked: Any) -> TypeAdapter[Any]:
    """Airflow makes one for each field of each task: a sixth of the time of a short one."""
    return TypeAdapter(checked)


def _run_on_airflow_3(
    task: Any,
    supervisor: Supervisor,
    try_number: int,
    retries: int,
    map_index: int,
    resume: Deferral | None,
    cleared: int,
) -> TaskRun:
    import structlog
    from airflow.sdk import DAG
    from airflow.sdk.api.datamodels._generated import DagRun, DagRunState, TIRunContext
    from airflow.sdk.execution_time import task_runner

    if not task.has_dag():
        task.dag = DAG("invites", schedule=None, start_date=START)
    now = datetime.now(UTC)
    known = {
        "dag_id": task.dag_id,
        "run_id": "run-1",
        "logical_date": START,
        "data_interval_start": START,
        "data_interval_end": START,
        "start_date": now,
        "run_after": now,
        "run_type": "manual",
        "state": DagRunState.RUNNING if hasattr(DagRunState, "RUNNING") else "running",
        "conf": {},
        "clear_number": cleared,
        "consumed_asset_events": [],
    }
    # The models gain required fields from version to version; None does for all of them.
    required = {name: None for name, field in DagRun.model_fields.items() if field.is_required()}
    fields = {name: value for name, value in (required | known).items() if name in DagRun.model_fields}
    from_server = TIRunContext(
        dag_run=DagRun(**fields),
        max_tries=retries,
        should_retry=try_number <= retries,
        next_method=resume.next_method if resume else None,
        next_kwargs=resume.next_kwargs if resume else None,
    )
    ti = task_runner.RuntimeTaskInstance.model_construct(
        id=uuid4(),
        task_id=task.task_id,
        dag_id=task.dag_id,
        run_id="run-1",
        try_number=try_number,
        map_index=map_index,
        dag_version_id=uuid4(),
        task=task,
        max_tries=retries,
        start_date=now,
        _ti_context_from_server=from_server,
        bundle_instance=SimpleNamespace(name="test", version=None),
    )
    if hasattr(task_runner, "TypeAdapter"):
        task_runner.TypeAdapter = _type_adapter
    before = getattr(task_runner, "SUPERVISOR_COMMS", None)
    task_runner.SUPERVISOR_COMMS = supervisor  # type: ignore[assignment]
    try:
        # As Airflow writes task logs: with tracebacks, without the values of local variables.
        plain: list[Any] = [structlog.processors.format_exc_info, structlog.processors.KeyValueRenderer()]
        log = structlog.wrap_logger(structlog.PrintLogger(), processors=plain)
        context = ti.get_template_context()
        state, message, error = task_runner.run(ti, context, log)
        context["exception"] = error
        task_runner.finalize(ti, state, context, log, error)
    finally:
        if before is None:
            del task_runner.SUPERVISOR_COMMS
        else:
            task_runner.SUPERVISOR_COMMS = before
    rendered: dict[str, Any] = {}
    for each in supervisor.sent:
        if type(each).__name__ == "SetRenderedFields":
            rendered = dict(each.rendered_fields)
    return TaskRun(
        str(getattr(state, "value", state)),
        error,
        supervisor.xcom,
        supervisor.store,
        rendered,
        supervisor.sent,
        deferral_of(message) if type(message).__name__ == "DeferTask" else None,
        list(getattr(message, "outlet_events", None) or []),
    )


def _run_on_airflow_2(task: Any, store: dict[str, Any], resume: Deferral | None, try_number: int) -> TaskRun:
    from airflow import macros
    from airflow.exceptions import AirflowFailException, AirflowSensorTimeout, AirflowSkipException, TaskDeferred
    from airflow.providers.common.compat.sdk import DAG
    from airflow.utils.context import OutletEventAccessors, VariableAccessor

    if not task.has_dag():
        task.dag = DAG("invites", schedule=None, start_date=START)
    xcom: dict[str, Any] = {}
    ti = SimpleNamespace(
        dag_id=task.dag_id,
        run_id="run-1",
        task_id=task.task_id,
        map_index=-1,
        try_number=try_number,
        xcom_push=lambda key, value: xcom.__setitem__(key, value),
    )
    context: Any = {"ti": ti, "task_instance": ti, "run_id": "run-1", "ds": "2026-01-01", "params": {}}
    context["dag_run"] = SimpleNamespace(conf={})
    context |= {"macros": macros, "var": {"value": VariableAccessor(deserialize_json=False)}, "ts": START.isoformat()}
    context["outlet_events"] = events = OutletEventAccessors()
    task = task.prepare_for_execution()
    state, error, deferral = "success", None, None
    try:
        task.render_template_fields(context)
        if resume:
            value = getattr(task, resume.next_method)(context, **{"event": None, **resume.next_kwargs})
        else:
            value = task.execute(context)
        if task.do_xcom_push:
            xcom["return_value"] = value
    except (AirflowFailException, AirflowSensorTimeout) as raised:
        state, error = "failed", raised
    except AirflowSkipException as raised:
        state, error = "skipped", raised
    except TaskDeferred as raised:
        classpath, trigger = raised.trigger.serialize()
        state, deferral = "deferred", Deferral(classpath, trigger, raised.method_name, raised.kwargs or {})
    except Exception as raised:
        state, error = ("up_for_retry" if task.retries else "failed"), raised
    rendered = {name: getattr(task, name) for name in task.template_fields}
    told = [{"dest_asset_key": {"uri": uri}, "extra": event.extra} for uri, event in events._dict.items()]
    return TaskRun(state, error, xcom, store, rendered, deferral=deferral, outlet_events=told)
