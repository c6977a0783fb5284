"""The operator that looks up invites in doubt, after a campaign or on its own schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator

from airflow_provider_omnichat.api.privacy import describe_list
from airflow_provider_omnichat.campaign.engine.process import StopSignal
from airflow_provider_omnichat.campaign.ledger.sql_table import DEFAULT_TABLE
from airflow_provider_omnichat.campaign.model.arguments import seconds_of
from airflow_provider_omnichat.hooks.omnichat import OmnichatHook
from airflow_provider_omnichat.tasks.fields import Field, FieldsMixin, Kind, table, templated
from airflow_provider_omnichat.tasks.short_errors import short_errors

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_omnichat.tasks.doubts import Doubts


class SettleInvitesOperator(FieldsMixin, BaseOperator):
    """
    Look up the invites of a campaign that are in doubt in the vendor's SMS logs, and settle those found as sent.

    Experimental, as reading the logs is: the vendor does not document that invites are in them. An invite that is not
    found stays in doubt, and nothing is ever sent because of it. The logs go back 48 hours, and take two numbers a
    second.

    A task without *ledger_conn_id* has its doubts in its task state store, without whole numbers. Instead of *campaign*
    and *ledger_conn_id*, give *send_task_id*, *invites* and *api_conn_id*.

    XCom: ``campaign``, ``found`` and ``still_in_doubt``. It is pushed before an error is raised, too.

    :param campaign: its name, or the manifest of the task that sent it (``send.output``). (templated)
    :param ledger_conn_id: the database connection of its ledger. (templated)
    :param ledger_table: the name of the ledger's table, with a schema if needed. (templated)
    :param send_task_id: the task that sent, which must have ended. (templated)
    :param send_run_id: its DAG run; this one if None. (templated)
    :param send_dag_id: its DAG; this one if None. (templated)
    :param invites: the list that it was given, or a query: ``{"conn_id": "...", "sql": "..."}``. (templated; shown
        as a count)
    :param to_column: as that task has it; so are *region_column* and *default_region*.
    :param api_conn_id: a connection to Airflow's API server, as a user who may edit the task instances of that DAG:
        host, login and password, or a token as the password alone. (templated)
    :param omnichat_conn_id: the ``omnichat`` connection; its credentials need the scope ``sms:logs:read``. (templated)
    :param patience: seconds for which the logs are asked again when they cannot be read.
    :raises ValueError: when the DAG is parsed: arguments are missing, or exclude each other.
    :raises airflow_provider_omnichat.api.errors.SmsLogsError: the logs cannot be read; what was found is settled.
    :raises airflow_provider_omnichat.campaign.ledger.interface.LedgerError: the ledger cannot be read or written.
    :raises AirflowException: the task that sent has not ended, or does not exist.
    """

    argument_fields: ClassVar = table(
        Field("campaign", Kind.VALUE),
        "ledger_conn_id",
        "ledger_table",
        "send_task_id",
        "send_run_id",
        "send_dag_id",
        Field("invites", Kind.VALUE, shown=describe_list),
        "default_region",
        "api_conn_id",
        "omnichat_conn_id",
    )
    template_fields: Sequence[str] = templated(argument_fields)
    ui_color = "#ffe3d3"

    def __init__(
        self,
        *,
        campaign: str | Mapping[str, Any] | None = None,
        ledger_conn_id: str | None = None,
        ledger_table: str = DEFAULT_TABLE,
        send_task_id: str | None = None,
        send_run_id: str | None = None,
        send_dag_id: str | None = None,
        invites: Any = None,
        to_column: str = "to",
        region_column: str | None = None,
        default_region: str | None = None,
        api_conn_id: str | None = None,
        omnichat_conn_id: str = OmnichatHook.default_conn_name,
        patience: float = 60.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.campaign = campaign
        self.ledger_conn_id = ledger_conn_id
        self.ledger_table = ledger_table
        self.send_task_id = send_task_id
        self.send_run_id = send_run_id
        self.send_dag_id = send_dag_id
        self.invites = invites
        self.default_region = default_region
        self.api_conn_id = api_conn_id
        self.omnichat_conn_id = omnichat_conn_id
        self.refuse_non_texts()
        has_campaign, has_ledger, has_task = (each is not None for each in (campaign, ledger_conn_id, send_task_id))
        if has_campaign is not has_ledger or has_ledger is has_task:
            raise ValueError(
                "give campaign and ledger_conn_id; or, for a task without ledger_conn_id, send_task_id, invites and"
                " api_conn_id"
            )
        if has_task and (invites is None or api_conn_id is None):
            raise ValueError(
                "send_task_id needs invites, since the task state store has no whole numbers, and api_conn_id, since"
                " only Airflow's API reaches the store of another task. Without them, clear the task that sent, with"
                " on_unknown='lookup', or settle its doubts in its tab Invites"
            )
        self.to_column = to_column
        self.region_column = region_column
        self.patience = seconds_of("patience", patience)

    @cached_property
    def _stop(self) -> StopSignal:
        return StopSignal()

    def on_kill(self) -> None:
        """Stop asking; what was found is settled."""
        self._stop.set()

    @short_errors
    def execute(self, context: Context) -> dict[str, Any]:
        """Look them up; see the class."""
        from airflow_provider_omnichat.campaign.engine.look_up import Settling, settle_found
        from airflow_provider_omnichat.campaign.engine.process import run_beside

        self.refuse_missing_arguments()
        doubts = self._doubts(context)
        if unlisted := doubts.total - len(doubts.entries):
            self.log.warning("%s of %s in doubt are not in invites, and cannot be looked up", unlisted, doubts.total)
        client = OmnichatHook(self.omnichat_conn_id).get_async_conn(1)
        settling = Settling(doubts.total)
        work = partial(settle_found, doubts.entries, doubts.settle, client, self.patience, settling, self._stop)
        try:
            interrupt = run_beside(work, self._stop)
        finally:
            counts = {"campaign": doubts.campaign, "found": settling.found, "still_in_doubt": settling.still_in_doubt}
            self.log.info("Campaign %s: %s found, %s still in doubt", *counts.values())
            if self.do_xcom_push:
                context["ti"].xcom_push(key="return_value", value=counts)
        if interrupt is not None:
            raise interrupt
        return counts

    def _doubts(self, context: Context) -> Doubts:
        from airflow_provider_omnichat.tasks.doubts import doubts_in_table, doubts_of_task

        if self.ledger_conn_id:
            name = self.campaign.get("campaign") if isinstance(self.campaign, Mapping) else self.campaign
            if not isinstance(name, str) or not name:
                raise AirflowFailException(
                    "campaign must be the name of a campaign, or the manifest of the task that sent it (its output)"
                )
            is_typed = name is self.campaign
            return doubts_in_table(context, name, self.ledger_conn_id, self.ledger_table, is_typed=is_typed)
        ti = context["ti"]
        names = (self.send_dag_id or ti.dag_id, self.send_run_id or ti.run_id, self.send_task_id)
        return doubts_of_task(self, context, "/".join(map(str, names)))
