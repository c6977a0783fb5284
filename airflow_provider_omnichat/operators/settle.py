"""The operator that looks up invites in doubt, after a campaign or on its own schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator

from airflow_provider_omnichat.campaign.engine.process import StopSignal
from airflow_provider_omnichat.campaign.ledger.sql_table import DEFAULT_TABLE
from airflow_provider_omnichat.campaign.model.arguments import seconds_of
from airflow_provider_omnichat.hooks.omnichat import OmnichatHook
from airflow_provider_omnichat.tasks.fields import Field, FieldsMixin, Kind, table, templated
from airflow_provider_omnichat.tasks.short_errors import short_errors

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class SettleInvitesOperator(FieldsMixin, BaseOperator):
    """
    Look up the invites of a campaign that are in doubt in the vendor's SMS logs, and settle those found as sent.

    Experimental, as reading the logs is: the vendor does not document that invites are in them. An invite that is not
    found stays in doubt, and nothing is ever sent because of it. The logs go back 48 hours, and take two numbers a
    second. Without ``ledger_conn_id``, clear the task that sent, with ``on_unknown="lookup"``: Airflow lets no other
    task read its state.

    XCom: ``campaign``, ``found`` and ``still_in_doubt``. It is pushed before an error is raised, too.

    :param campaign: its name, or the manifest of the task that sent it (``send.output``). (templated)
    :param ledger_conn_id: the database connection of its ledger. (templated)
    :param ledger_table: the name of the ledger's table, with a schema if needed. (templated)
    :param omnichat_conn_id: the ``omnichat`` connection; its credentials need the scope ``sms:logs:read``. (templated)
    :param patience: seconds for which the logs are asked again when they cannot be read.
    :raises airflow_provider_omnichat.api.errors.SmsLogsError: the logs cannot be read; what was found is settled.
    :raises airflow_provider_omnichat.campaign.ledger.interface.LedgerError: the ledger cannot be read or written.
    """

    argument_fields: ClassVar = table(
        Field("campaign", Kind.VALUE), "ledger_conn_id", "ledger_table", "omnichat_conn_id"
    )
    template_fields: Sequence[str] = templated(argument_fields)
    ui_color = "#ffe3d3"

    def __init__(
        self,
        *,
        campaign: str | Mapping[str, Any],
        ledger_conn_id: str,
        ledger_table: str = DEFAULT_TABLE,
        omnichat_conn_id: str = OmnichatHook.default_conn_name,
        patience: float = 60.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.campaign = campaign
        self.ledger_conn_id = ledger_conn_id
        self.ledger_table = ledger_table
        self.omnichat_conn_id = omnichat_conn_id
        self.patience = seconds_of("patience", patience)
        self.refuse_what_is_no_text()

    @cached_property
    def _stop(self) -> StopSignal:
        return StopSignal()

    def on_kill(self) -> None:
        """Stop asking; what was found is settled."""
        self._stop.set()

    @short_errors
    def execute(self, context: Context) -> dict[str, Any]:
        """Look them up; see the class."""
        from airflow_provider_omnichat.campaign.engine.look_up import Settling, settle_campaign
        from airflow_provider_omnichat.campaign.engine.process import run_beside
        from airflow_provider_omnichat.campaign.ledger.admin import LedgerAdmin
        from airflow_provider_omnichat.campaign.ledger.audit import LedgerAudit
        from airflow_provider_omnichat.hooks.databases import ledger_database

        self.refuse_missing_arguments()
        campaign = self._campaign_name()
        database = ledger_database(self.ledger_conn_id)
        client = OmnichatHook(self.omnichat_conn_id).get_async_conn(1)
        settling = Settling()
        with closing(LedgerAdmin(database, self.ledger_table)) as admin:
            audit = LedgerAudit(database, self.ledger_table)
            work = partial(settle_campaign, campaign, audit, admin, client, self.patience, settling, self._stop)
            try:
                interrupt = run_beside(work, self._stop)
            finally:
                counts = {"found": settling.found, "still_in_doubt": settling.still_in_doubt}
                self.log.info("Campaign %s: %s found, %s still in doubt", campaign, *counts.values())
                if self.do_xcom_push:
                    context["ti"].xcom_push(key="return_value", value={"campaign": campaign, **counts})
        if interrupt is not None:
            raise interrupt
        return {"campaign": campaign, **counts}

    def _campaign_name(self) -> str:
        name = self.campaign.get("campaign") if isinstance(self.campaign, Mapping) else self.campaign
        if not isinstance(name, str) or not name:
            raise AirflowFailException(
                "campaign must be the name of a campaign, or the manifest of the task that sent it (its output)"
            )
        return name
