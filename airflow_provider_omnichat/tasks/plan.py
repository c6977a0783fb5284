"""From the rendered arguments of an operator to the plan of its campaign."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_omnichat.campaign.checks.partition import Partition
from airflow_provider_omnichat.campaign.checks.send_window_rule import WindowRule
from airflow_provider_omnichat.campaign.checks.text import MessageTemplate, message_template
from airflow_provider_omnichat.campaign.engine.plan import CampaignPlan, Columns, InviteDefaults, Pace, Records, Rules
from airflow_provider_omnichat.campaign.phone.number import checked_region
from airflow_provider_omnichat.campaign.rows.columns import Need, RowColumns
from airflow_provider_omnichat.tasks.ledger import KeepsBatchLedger, batch_ledger
from airflow_provider_omnichat.tasks.opt_outs import read_opt_outs

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_omnichat.api.account import Account
    from airflow_provider_omnichat.campaign.checks.opt_outs import Suppression
    from airflow_provider_omnichat.campaign.ledger.frequency_cap import FrequencyCap
    from airflow_provider_omnichat.campaign.model.place import Place
    from airflow_provider_omnichat.campaign.preview.budget import Budget


class ListArguments(KeepsBatchLedger, Protocol):
    """What is used of an operator that sends a list."""

    link_placeholder: str
    application_key: str | None
    integration_type: str | None
    default_region: str | None
    to_column: str
    region_column: str | None
    key_column: str | None
    time_zone_column: str | None
    default_time_zone: str | None
    max_per_recipient: FrequencyCap | None
    partition: Any
    budget: Budget
    approved: str | None
    rate_limit: float | None
    concurrency: int
    retry_budget: float
    on_unknown: str
    ledger_patience: float

    def private(self, name: str) -> Any:
        """Give the true value of a private field."""


def campaign_plan(
    operator: ListArguments, context: Context, *, campaign: str, account: Account, results: Place
) -> CampaignPlan:
    """
    Make the plan; the opt-out list is read for it.

    :param operator: whose arguments have been rendered.
    :param context: of the task.
    :param campaign: the campaign's name.
    :param account: of the connection.
    :param results: takes the result rows.
    :raises ValueError: an argument or the opt-out list cannot be used; the text says which, and what to do.
    :raises AirflowFailException: there is no ledger for what is asked for.
    """
    checked_region(operator.default_region)
    message = operator.private("message")
    return CampaignPlan(
        campaign,
        InviteDefaults(
            template=message_template(message, operator.link_placeholder) if message else None,
            link_placeholder=operator.link_placeholder,
            application_key=operator.application_key or account.application_key,
            integration_type=operator.integration_type or account.integration_type,
            default_region=operator.default_region,
        ),
        Columns(operator.to_column, operator.region_column, operator.key_column),
        _rules(operator),
        Pace(
            rate_limit=operator.rate_limit,
            concurrency=operator.concurrency,
            retry_budget=operator.retry_budget,
            resend_unknown=operator.on_unknown == "resend",
            looks_up=operator.on_unknown == "lookup",
        ),
        Records(
            ledger=batch_ledger(operator, context, campaign),
            results=results,
            patience=operator.ledger_patience,
        ),
    )


def named_columns(operator: ListArguments, *others: Need) -> RowColumns:
    """
    Give the columns that the arguments name: a list that has one of them nowhere is refused.

    :param operator: whose arguments have been rendered.
    :param others: that the source of the rows needs besides.
    """
    message = operator.private("message")
    arguments = ("key_column", "region_column", "time_zone_column", "to_column")
    columns = ((argument, getattr(operator, argument)) for argument in arguments)
    return RowColumns(
        [
            *(Need(field, field, "message") for field in (MessageTemplate(message).fields if message else ())),
            *(Need(column, column, argument) for argument, column in columns if column),
            *others,
        ]
    )


def _rules(operator: ListArguments) -> Rules:
    return Rules(
        opt_outs=_opt_outs(operator),
        send_window=_window(operator),
        waits=operator.on_closed == "defer",
        frequency_cap=operator.max_per_recipient,
        partition=Partition.of(operator.partition),
        budget=operator.budget,
        approved=operator.approved,
    )


def _opt_outs(operator: ListArguments) -> Suppression | None:
    given = operator.private("suppression")
    if given is None:
        return None
    opt_outs = read_opt_outs(given, operator.to_column, operator.region_column, operator.default_region)
    ignored = f", {opt_outs.ignored} entries without a number" if opt_outs.ignored else ""
    operator.log.info("Opt-out list: %s numbers%s", len(opt_outs), ignored)
    return opt_outs


def _window(operator: ListArguments) -> WindowRule | None:
    if operator.send_window is None:
        return None
    return WindowRule(
        operator.send_window, zone_column=operator.time_zone_column, default_zone=operator.default_time_zone
    )
