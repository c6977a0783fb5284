"""Tasks that send nothing: dry runs, with who approved what they showed, and those that follow a campaign."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, NamedTuple

from airflow.models.hitl import HITLDetail
from airflow.models.taskinstance import TaskInstance
from markupsafe import Markup
from sqlalchemy import select
from sqlalchemy.orm import Session

from airflow_provider_omnichat.api.outcomes import Delivery
from airflow_provider_omnichat.plugins.invites.metadata import fields_of, pushed
from airflow_provider_omnichat.plugins.invites.sending_tasks import SendingTask

# All that a preview consists of; whatever else is in it, such as a link or HTML, stays text.
_MARKDOWN = ("heading", "table", "blockquote", "emphasis", "escape", "entity", "newline")


class Preview(NamedTuple):
    """A dry run, the fingerprint of its list, and what it shows, in Markdown."""

    task: SendingTask
    fingerprint: str
    markdown: str

    @property
    def html(self) -> Markup:
        if not self.markdown:
            return Markup("<p>This preview cannot be read: the storage of XComs has lost it, or is away.</p>")
        try:
            from markdown_it import MarkdownIt  # comes with rich, which Airflow needs
        except ImportError:
            return Markup("<pre>{}</pre>").format(self.markdown)
        return Markup(MarkdownIt("zero").enable(_MARKDOWN).render(self.markdown))  # noqa: S704 - it escapes all text


class Approval(NamedTuple):
    """The dry run that gave a fingerprint; what people were asked in its run, and whether they were shown it."""

    fingerprint: str
    preview: Preview | None
    asked: Sequence[tuple[Any, bool]]


def previews_of(session: Session, dag_id: str, run_id: str) -> list[Preview]:
    """Return the dry runs of a run."""
    of_run = TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id
    shown = {ti.id: value for ti, value in session.execute(pushed("markdown").where(*of_run))}
    found = session.execute(pushed("fingerprint").where(*of_run)).all()
    rendered = {ti.id: fields_of(session, ti) for ti, _ in found}
    session.commit()  # an XCom backend may be slow, see metadata
    return [
        Preview(task, _text(value), _text(shown[ti.id]))
        for ti, value in found
        if ti.id in shown and (task := _quiet(ti, rendered[ti.id], {}, rendered[ti.id].get("campaign")))
    ]


def approval_of(session: Session, task: SendingTask, fingerprint: str, *, may_see: bool) -> Approval:
    """Find who approved the list with a fingerprint; *may_see*: whether the user may see answers."""
    previews = previews_of(session, task.dag_id, task.run_id)
    preview = next((each for each in previews if each.fingerprint == fingerprint), None)
    names = (TaskInstance.dag_id, TaskInstance.run_id, TaskInstance.task_id, TaskInstance.map_index)
    answer = (HITLDetail.body, HITLDetail.chosen_options, HITLDetail.responded_at, HITLDetail.responded_by)
    which = select(*names, *answer).join(TaskInstance, HITLDetail.ti_id == TaskInstance.id)
    of_run = which.where(TaskInstance.dag_id == task.dag_id, TaskInstance.run_id == task.run_id)
    asked = session.execute(of_run.order_by(HITLDetail.created_at)).all() if may_see else []
    shown = preview.markdown.strip() if preview else fingerprint
    return Approval(fingerprint, preview, [(each, bool(shown) and shown in (each.body or "")) for each in asked])


def follower_of(session: Session, dag_id: str, run_id: str, task_id: str, map_index: int | None) -> SendingTask | None:
    """Return a sensor, or a task that settles, as if it sent its campaign; what it counted stands for outcomes."""
    of_task = TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id, TaskInstance.task_id == task_id
    at = () if map_index is None else (TaskInstance.map_index == map_index,)
    found = session.scalars(select(TaskInstance).where(*of_task, *at).limit(2)).all()
    rendered = fields_of(session, found[0]) if len(found) == 1 else {}
    if "omnichat_conn_id" not in rendered or "message" in rendered:
        return None
    row = session.execute(pushed("return_value").where(TaskInstance.id == found[0].id)).first()
    returned = row[1] if row and isinstance(row[1], Mapping) else {}
    names = (returned.get("campaign"), rendered.get("campaign"), rendered.get("invites"))
    # A database may have changed their order.
    counts = {name: each for name in (*Delivery, *returned) if isinstance(each := returned.get(name), int)}
    return _quiet(found[0], rendered, counts, *names)


def _quiet(ti: TaskInstance, rendered: Mapping[str, Any], counts: Mapping[str, int], *names: Any) -> SendingTask | None:
    campaign = next((name for name in names if name and isinstance(name, str)), ti.task_id)
    return SendingTask.of(ti, {"campaign": campaign, "counts": counts}, rendered)


def _text(value: Any) -> str:
    """Return a text that was pushed, wherever an XCom backend keeps it; empty if it cannot be read."""
    from airflow.sdk.execution_time.xcom import XCom

    with suppress(Exception):  # whatever a storage raises
        return str(XCom.deserialize_value(SimpleNamespace(value=value)))
    return ""
