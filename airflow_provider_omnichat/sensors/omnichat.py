"""The sensor that follows invites after they were sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_omnichat.api.outcomes import Delivery
from airflow_provider_omnichat.api.privacy import describe_list, shown_address
from airflow_provider_omnichat.campaign.ledger.sql_table import DEFAULT_TABLE
from airflow_provider_omnichat.campaign.model.arguments import one_of, ratio_of
from airflow_provider_omnichat.campaign.model.sentences import sentences
from airflow_provider_omnichat.hooks.omnichat import OmnichatHook
from airflow_provider_omnichat.tasks.fields import Field, FieldsMixin, Kind, table, templated
from airflow_provider_omnichat.tasks.short_errors import short_errors

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_omnichat.campaign.engine.follow_campaign import DeliveryReport
    from airflow_provider_omnichat.campaign.model.place import Place

_A_DAY_SECONDS = 24 * 3600.0
# So that no invite becomes too old for the logs unread, and a sample that never ends does not hold up the others.
_LONGEST_SLEEP = timedelta(hours=1)


def _shown(invites: Any) -> str:
    """Return what Airflow may show: the output of a single invite's task has the number in it."""
    if isinstance(invites, Mapping):
        return str(invites.get("campaign") or invites.get("messageId"))
    return invites if isinstance(invites, str) else describe_list(invites, of="invites")


class InviteDeliverySensor(FieldsMixin, BaseSensorOperator):
    """
    Wait until sent invites have a final status, or the time is up.

    **Experimental.** It asks the vendor's SMS logs, which go back 48 hours. Whether invites appear in them is not
    documented. An invite that does not is ``not_seen``: that says nothing about the SMS, and fails no task.

    The final status, its time and the price are written to where the rows live, each time a worker looks: columns
    ``delivery``, ``delivered_at``, ``price`` and ``currency`` of the results table or of the ledger, or files in the
    folder ``delivery`` of the result files. So a retry, another run and a restarted triggerer continue where this one
    ended. Only given message ids have no such place.

    Deferred, it holds no worker while it waits. The trigger asks for as many invites as one request takes; of more
    invites, that is a random sample. When all of those are final, and at least each hour, a worker asks for all that
    are not. 100,000 invites take 16 minutes at the vendor's limit of 120 requests a minute. Without deferral, it asks
    for all at each *poke_interval*.

    The return value (XCom) counts the invites: ``delivered``, ``undeliverable``, ``expired``, ``rejected``, ``unknown``
    (the operator never told), ``pending``, ``not_seen``, ``out_of_reach`` (older than the logs), ``not_asked`` (an id
    that cannot be asked for). It is also pushed before an error is raised.

    :param invites: a message id, a list of them, the output of a task that sent (``send.output``: the manifest of a
        batch with ``results_path``, ``results_table`` or ``ledger_conn_id``, or the answer to a single invite), or a
        list of outputs. (templated; of a single invite the message id is shown, of a batch the campaign)
    :param campaign: instead of *invites*: all of a campaign in an SQL ledger. (templated)
    :param ledger_conn_id: the database of that ledger. (templated)
    :param ledger_table: its table. (templated)
    :param omnichat_conn_id: the ``omnichat`` connection. (templated)
    :param min_delivered_ratio: the task fails if fewer were delivered, of those whose end is known (delivered,
        undeliverable, expired, rejected), 0 to 1.
    :param on_timeout: what it does when the time is up and some are pending: ``"fail"``, ``"skip"`` or ``"succeed"``.
    :param timeout: seconds until the time is up; a day if not given.
    :param poke_interval: seconds between two requests.
    :param deferrable: whether to wait without a worker; ``operators.default_deferrable`` of Airflow's configuration if
        not given.
    :raises AirflowFailException: too few were delivered, or the invites cannot be followed.
    :raises AirflowSensorTimeout: the time is up; Airflow does not retry the task.
    :raises AirflowSkipException: the same, with ``on_timeout="skip"``.
    :raises airflow_provider_omnichat.api.errors.SmsLogsError: the logs cannot be read; a missing scope is named.
    """

    argument_fields: ClassVar = table(
        Field("invites", Kind.VALUE, shown=_shown), "campaign", "ledger_conn_id", "ledger_table", "omnichat_conn_id"
    )
    template_fields: Sequence[str] = templated(argument_fields)
    ui_color = "#ffe3d3"

    _report: DeliveryReport | None = None

    def __init__(
        self,
        *,
        invites: Any = None,
        campaign: str | None = None,
        ledger_conn_id: str | None = None,
        ledger_table: str = DEFAULT_TABLE,
        omnichat_conn_id: str = OmnichatHook.default_conn_name,
        min_delivered_ratio: float = 0.0,
        on_timeout: str = "fail",
        deferrable: bool | None = None,
        timeout: float | timedelta = _A_DAY_SECONDS,
        **kwargs: Any,
    ) -> None:
        super().__init__(timeout=timeout, **kwargs)
        self.invites = invites
        self.campaign = campaign
        self.ledger_conn_id = ledger_conn_id
        self.ledger_table = ledger_table
        self.omnichat_conn_id = omnichat_conn_id
        self.refuse_non_texts()
        one_of("on_timeout", on_timeout, ("fail", "skip", "succeed"))
        if (invites is None) == (campaign is None) or (campaign is None) != (ledger_conn_id is None):
            raise ValueError("give invites, or campaign together with ledger_conn_id")
        self.min_delivered_ratio = ratio_of("min_delivered_ratio", min_delivered_ratio)
        self.on_timeout = on_timeout
        given = conf.getboolean("operators", "default_deferrable", fallback=False) if deferrable is None else deferrable
        self.deferrable = bool(given)

    @short_errors
    def execute(self, context: Context) -> dict[str, int]:
        """Wait; see the class."""
        self.refuse_missing_arguments()
        if not self.deferrable:
            try:
                counts: dict[str, int] = super().execute(context)
            except AirflowSensorTimeout:
                assert self._report is not None, "it has looked at least once"
                return self._time_is_up(context, self._report)
            return counts
        from airflow_provider_omnichat.campaign.engine.follow_campaign import sample_of

        until = datetime.now(UTC) + timedelta(seconds=self.timeout)
        with self._places() as places:
            sample = sample_of(places)
        if sample:
            self._sleep(sample, until)
        return self._finish(context, self._look())

    @short_errors
    def poke(self, context: Context) -> PokeReturnValue:
        """Ask for all that are not final."""
        report = self._report = self._look()
        return PokeReturnValue(not report.waiting, None if report.waiting else self._finish(context, report))

    @short_errors
    def resume(self, context: Context, event: Mapping[str, str]) -> dict[str, int]:
        """Ask for all that are not final; Airflow calls it with the event of the trigger."""
        self.refuse_missing_arguments()
        report = self._look()
        end = datetime.fromisoformat(event["until"])
        if report.waiting and datetime.now(UTC) < end:
            self._sleep(report.sample, end)
        return self._time_is_up(context, report) if report.waiting else self._finish(context, report)

    def _sleep(self, sample: list[str], until: datetime) -> NoReturn:
        from airflow_provider_omnichat.triggers.omnichat import InviteDeliveryTrigger

        wake = min(until, datetime.now(UTC) + _LONGEST_SLEEP)
        trigger = InviteDeliveryTrigger(
            self.omnichat_conn_id, sample, self.poke_interval, wake=wake.isoformat(), until=until.isoformat()
        )
        self.defer(trigger=trigger, method_name="resume")

    def _places(self) -> AbstractContextManager[list[Place]]:
        from airflow_provider_omnichat.tasks.delivery import followed_places

        return followed_places(self.private("invites"), self.campaign, self.ledger_conn_id, self.ledger_table)

    def _look(self) -> DeliveryReport:
        from airflow_provider_omnichat.campaign.engine.follow_campaign import follow

        with self._places() as places:
            report = follow(places, OmnichatHook(self.omnichat_conn_id).get_async_conn(concurrency=1))
            if places and not sum(report.counts.values()):
                where = ", ".join(shown_address(place.location or "") for place in places)
                raise AirflowFailException(f"No accepted invite was found in {where}; were the rows removed?")
        self.log.info("%s", _summary(report))
        return report

    def _finish(self, context: Context, report: DeliveryReport) -> dict[str, int]:
        if unclear := report.known[Delivery.NOT_SEEN] + report.out_of_reach + report.not_asked:
            self.log.warning("The end of %s invites is not known: %s", unclear, _summary(report))
        ratio = report.delivered_ratio
        if ratio is not None and ratio < self.min_delivered_ratio:
            self._push(context, report)
            few = f"{ratio:.1%} were delivered, less than min_delivered_ratio {self.min_delivered_ratio:g}"
            raise AirflowFailException(sentences(few, _summary(report)))
        return report.counts

    def _time_is_up(self, context: Context, report: DeliveryReport) -> dict[str, int]:
        if not report.known[Delivery.PENDING] or self.on_timeout == "succeed":
            return self._finish(context, report)
        self._push(context, report)
        kind = AirflowSkipException if self.on_timeout == "skip" else AirflowSensorTimeout
        raise kind(sentences(f"The time is up, after {self.timeout:g} seconds", _summary(report)))

    def _push(self, context: Context, report: DeliveryReport) -> None:
        if self.do_xcom_push:
            context["ti"].xcom_push(key="return_value", value=report.counts)


def _summary(report: DeliveryReport) -> str:
    counts = [f"{count} {state.replace('_', ' ')}" for state, count in report.counts.items() if count]
    return f"{sum(report.counts.values())} invites: " + (", ".join(counts) or "nothing to follow")
