"""
The operator that sends a list of invites from one task.

Two thirds of the file are its parameters, with what each of them means: users read them here, in one place.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.privacy import describe_list, describe_text, mask_numbers, shown_address
from airflow_provider_omnichat.campaign.engine.stop_signal import StopSignal
from airflow_provider_omnichat.campaign.ledger.sql_statements import DEFAULT_TABLE
from airflow_provider_omnichat.campaign.model.sentences import sentences
from airflow_provider_omnichat.campaign.preview.budget import Budget
from airflow_provider_omnichat.hooks.omnichat import OmnichatHook
from airflow_provider_omnichat.operators.links import InvitesLink, ResultsLink, SandboxLink
from airflow_provider_omnichat.tasks.arguments import (
    cap_of,
    is_number,
    one_of,
    ratio_of,
    refuse_wrong_message,
    seconds_of,
    window_of,
    zone_of,
)
from airflow_provider_omnichat.tasks.asset_events import add_to_asset_events
from airflow_provider_omnichat.tasks.earlier_tries import EarlierTriesMixin
from airflow_provider_omnichat.tasks.ending import Ending, raise_if_empty
from airflow_provider_omnichat.tasks.ledger import campaign_name, task_identity
from airflow_provider_omnichat.tasks.private_fields import PrivateFieldsMixin
from airflow_provider_omnichat.tasks.short_errors import short_errors
from airflow_provider_omnichat.tasks.templates import TemplatesMixin

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_omnichat.campaign.engine.plan import CampaignPlan
    from airflow_provider_omnichat.campaign.engine.report import CampaignReport
    from airflow_provider_omnichat.campaign.model.rows import RowSource
    from airflow_provider_omnichat.campaign.results.sink import ResultSink
    from airflow_provider_omnichat.campaign.results.tally import Tally


def _shown_opt_outs(given: Any) -> Any:
    """Say of an opt-out list what it is, without its numbers."""
    if given is None:
        return None
    if isinstance(given, dict) and "sql" in given:
        return {name: mask_numbers(given.get(name)) for name in ("conn_id", "sql")}
    return describe_list(given)


class SendInviteBatchOperator(EarlierTriesMixin, PrivateFieldsMixin, TemplatesMixin, BaseOperator):
    """
    Send SMS invites to a list of any length: each recipient at most once, each row to exactly one outcome.

    Rows stream through: they are checked, claimed in a ledger, sent many at once, and recorded. A later try sends
    only what was certainly not sent. The ledger is Airflow's task state store (3.3+), or, with *ledger_conn_id*, a
    table that holds across runs and DAGs and works on every Airflow. Where nothing is remembered of earlier tries, it
    sends nothing (``docs/explanation/promise.md``). Mapped tasks need *ledger_conn_id*.

    The return value (XCom) is the manifest, without personal data: ``campaign``, ``rows``, ``counts`` (by outcome;
    they add up to ``rows``), ``missing`` (rows of the list without an outcome, because the try ended before; None where
    it is not known how many), ``reasons`` (why rows were not accepted: the most frequent ones of each outcome, with
    ``outcome``, ``code``, ``name`` of the vendor's status, ``count`` and the keys of the ``first`` rows, or their
    positions), ``results`` (where the rows are), ``rows_in`` (the same for other tasks), ``segments`` (SMS segments
    that the vendor counted in this try), ``sent_this_try``, ``started_at``, ``finished_at``. XCom ``summary`` says the
    same in one line of Markdown. Both are pushed before an error is raised, too.

    :param invites: a list of dicts, the output of another task or of mapped ones that give a list each, a dict that is
        the only row, or a CSV or JSON-lines file on any storage that Airflow knows, read as a stream: its address
        (``s3://conn_id@bucket/list.csv``), a ``Path`` or an ``ObjectStoragePath``. Fields: ``to`` (see *to_column*),
        ``message`` and ``link_placeholder`` where a row has its own, and any others. (templated; shown as a count)
    :param message: the text for rows without their own; ``{first_name}`` takes the row's field. One that is wrong
        for each row, such as one without the placeholder, is refused before the list is read. (templated; shown with
        no field filled in, or as its length)
    :param link_placeholder: the piece of the text in whose place the server puts the invite's link. (templated)
    :param application_key: the OMNI application; that of the connection if None. (templated)
    :param integration_type: the channel that the invites lead to; that of the connection if None. (templated)
    :param omnichat_conn_id: the ``omnichat`` connection. (templated)
    :param default_region: the country of numbers without a country code, as two letters: ``CH``. (templated)
    :param to_column: the field that holds the number. It and the others are found without regard to capitals where
        that is clear; a list that has one of them nowhere is refused before anything is sent.
    :param region_column: the field that holds the country of a row's number, as two letters, for lists of several
        countries; *default_region* counts where it is empty.
    :param key_column: the field that names a row in results and errors, such as ``customer_id``; not a personal one.
    :param campaign: a name without ``#`` within which a number is invited at most once, across runs and DAGs; needs
        *ledger_conn_id*. This run's task if None. It must stay the same over tries. (templated)
    :param ledger_conn_id: a database connection; the ledger is a table in it, made if missing. (templated)
    :param ledger_table: the name of that table, with a schema if need be. (templated)
    :param ledger_patience: seconds that the ledger, or the place for results, may be away in the middle of sending:
        nothing is sent meanwhile, and what is known is written again until it is there.
    :param results_path: a directory, on any storage that Airflow knows, below which one row is written for each row
        of the list, in a folder of this task instance. (templated)
    :param results_format: ``"jsonl"`` or ``"csv"``.
    :param rate_limit: invites a second at most; None for as many as the vendor takes.
    :param concurrency: requests under way at most.
    :param retry_budget: seconds within which an invite that was certainly not taken is tried again inside this try.
    :param on_unknown: what to do with invites that an earlier try may have sent: ``"hold"`` keeps them as unknown,
        ``"resend"`` sends, at the risk of a second SMS. One that is not sent again after all stays unknown.
        ``"lookup"`` asks the vendor's SMS logs for them once all others are sent, two a second at most: those found
        are accepted, the others stay unknown, and nothing is sent because of it.
    :param resend_key: change it, to any text, and clear the task to send to the whole list again on purpose: for each
        value at most one SMS a number. Written out, or from a Variable; a value that changes by itself is refused.
        (templated)
    :param on_empty: what an empty list does: ``"skip"`` the task, ``"succeed"`` or ``"fail"``.
    :param max_rejected_ratio: the task fails when the vendor rejected more than this part of what it was sent, 0 to 1.
    :param max_unknown_ratio: the task fails when more than this part of what was sent is in doubt, 0 to 1. Fewer are
        listed all the same, first in the counts, and stay in doubt.
    :param suppression: the opt-out list: numbers, as a list, the output of other tasks, a CSV or JSON-lines file as
        *invites* has it (the column *to_column*, or its only one), or a query ``{"conn_id": "...", "sql": "..."}``. A
        national number is of the country in its *region_column*, else of *default_region*. (templated; shown as a
        count, a query with numbers masked)
    :param send_window: from when to when people may be written to, on the clock where they live: ``("09:00",
        "20:00")``. None for any time.
    :param send_days: the days of it: ``"mon-sat"``, ``"mon,wed,fri"`` or a list; every day if None.
    :param time_zone_column: the field with a person's time zone (``Europe/Zurich``); where there is none, it is told by
        the number, and one that may be in several zones must be inside the window in all of them.
    :param default_time_zone: of numbers whose zone cannot be told; without it, such rows are invalid.
    :param on_closed: what becomes of those who are outside of the window: ``"defer"`` sends to the others, frees the
        worker until the next window opens, and goes on; ``"skip"`` leaves them as ``held``.
    :param max_per_recipient: number of invites that a person gets at most in a period, over all campaigns of the
        ledger: ``(2, "7d")``; needs *ledger_conn_id*.
    :param max_invites: people; a longer list is refused before the first send.
    :param max_segments: SMS of the whole list, as they are estimated; likewise.
    :param price_per_segment: of one SMS, in your currency; for the preview, and for *max_cost*.
    :param currency: the name of it, such as ``"EUR"``, for the preview and errors; nothing is converted.
    :param max_cost: of the whole list, in the same currency, as it is estimated; likewise.
    :param approved: the ``fingerprint`` that a dry run gave (XCom); a list with other people or texts is refused before
        the first send. (templated)
    :param partition: ``(part, parts)``, such as ``(0, 4)``: this task takes one part of the list, told by the number,
        so that several tasks can share it. (templated)
    :param dry_run: everything but the sending. The manifest gets a ``preview``; the same for people is XCom
        ``markdown``, and XCom ``fingerprint`` is what *approved* takes.
    :raises AirflowFailException: nothing can be mended by another try: invites in doubt, too many rejected, no row
        fit to be sent.
    :raises AirflowException: some were certainly not sent; Airflow retries the task, and the retry sends only those.
    :raises airflow_provider_omnichat.campaign.model.rows.ListFailedError: what gives the list failed before anything
        was sent; Airflow retries the task.
    :raises AirflowSkipException: the list is empty.
    :raises TaskDeferred: somebody has to wait for the window; Airflow resumes the task then.
    """

    template_fields: Sequence[str] = (
        "invites",
        "message",
        "link_placeholder",
        "application_key",
        "integration_type",
        "omnichat_conn_id",
        "default_region",
        "campaign",
        "ledger_conn_id",
        "ledger_table",
        "results_path",
        "resend_key",
        "suppression",
        "approved",
        "partition",
    )
    private_fields: ClassVar = {
        "invites": describe_list,
        "message": describe_text,
        "results_path": shown_address,
        "suppression": _shown_opt_outs,
    }
    shown_templates: ClassVar = {"message": ("{",)}
    may_become_empty: ClassVar = frozenset({"resend_key"})
    not_texts: ClassVar = frozenset({"invites", "suppression", "partition"})
    operator_extra_links = (InvitesLink(), ResultsLink(), SandboxLink())
    ui_color = "#ffe3d3"

    sandbox_url: str | None = None

    def __init__(
        self,
        *,
        invites: Any,
        message: str | None = None,
        link_placeholder: str = "<link>",
        application_key: str | None = None,
        integration_type: str | None = None,
        omnichat_conn_id: str = OmnichatHook.default_conn_name,
        default_region: str | None = None,
        to_column: str = "to",
        region_column: str | None = None,
        key_column: str | None = None,
        campaign: str | None = None,
        ledger_conn_id: str | None = None,
        ledger_table: str = DEFAULT_TABLE,
        ledger_patience: float = 60.0,
        results_path: str | None = None,
        results_format: Literal["jsonl", "csv"] = "jsonl",
        rate_limit: float | None = None,
        concurrency: int = 32,
        retry_budget: float = 60.0,
        on_unknown: str = "hold",
        resend_key: str = "",
        on_empty: str = "skip",
        max_rejected_ratio: float = 0.1,
        max_unknown_ratio: float = 0.0,
        suppression: Any = None,
        send_window: tuple[str, str] | None = None,
        send_days: str | Sequence[str] | None = None,
        time_zone_column: str | None = None,
        default_time_zone: str | None = None,
        on_closed: Literal["defer", "skip"] = "defer",
        max_per_recipient: tuple[int, str] | None = None,
        max_invites: int | None = None,
        max_segments: int | None = None,
        price_per_segment: float | None = None,
        currency: str | None = None,
        max_cost: float | None = None,
        approved: str | None = None,
        partition: tuple[int, int] | None = None,
        dry_run: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        one_of("on_unknown", on_unknown, ("hold", "resend", "lookup"))
        one_of("on_closed", on_closed, ("defer", "skip"))
        one_of("on_empty", on_empty, ("skip", "succeed", "fail"))
        one_of("results_format", results_format, ("jsonl", "csv"))
        if rate_limit is not None and not (is_number(rate_limit) and rate_limit > 0):
            raise ValueError(f"rate_limit must be above 0 invites a second, or None, not {rate_limit!r}")
        if type(concurrency) is not int or not 1 <= concurrency <= 1000:
            raise ValueError(f"concurrency must be a whole number between 1 and 1000, not {concurrency!r}")
        self.invites = invites
        self.message = message
        self.link_placeholder = link_placeholder
        self.application_key = application_key
        self.integration_type = integration_type
        self.omnichat_conn_id = omnichat_conn_id
        self.default_region = default_region
        self.to_column = to_column
        self.region_column = region_column
        self.key_column = key_column
        self.campaign = campaign
        self.ledger_conn_id = ledger_conn_id
        self.ledger_table = ledger_table
        self.ledger_patience = seconds_of("ledger_patience", ledger_patience)
        self.results_path = results_path
        self.results_format = results_format
        self.rate_limit = rate_limit
        self.concurrency = concurrency
        self.retry_budget = seconds_of("retry_budget", retry_budget)
        self.on_unknown = on_unknown
        self.resend_key = resend_key
        self.on_empty = on_empty
        self.max_rejected_ratio = ratio_of("max_rejected_ratio", max_rejected_ratio)
        self.max_unknown_ratio = ratio_of("max_unknown_ratio", max_unknown_ratio)
        self.suppression = suppression
        self.send_window = window_of(send_window, send_days)
        self.time_zone_column = time_zone_column
        self.default_time_zone = zone_of("default_time_zone", default_time_zone)
        self.on_closed = on_closed
        self.max_per_recipient = cap_of(max_per_recipient, ledger_conn_id)
        self.budget = Budget(max_invites, max_segments, price_per_segment, max_cost, currency)
        self.approved = approved
        self.partition = partition
        self.is_dry_run = dry_run
        self.refuse_what_is_no_text()
        refuse_wrong_message(message, link_placeholder)

    @short_errors
    def execute(self, context: Context) -> dict[str, Any]:
        """Send the list; see the class."""
        return self._send(context, {})

    @short_errors
    def resume(self, context: Context, event: Any = None, **carried_over: Any) -> dict[str, Any]:
        """
        Send to those whose window has opened; Airflow calls it after a deferral.

        :param event: that ended the deferral.
        :param carried_over: what the manifest says of before it.
        """
        return self._send(context, carried_over)

    @cached_property
    def _stop(self) -> StopSignal:
        return StopSignal()

    def on_kill(self) -> None:
        """Begin no further request; those under way get a few seconds, and what there is is recorded."""
        self._stop.set()

    def row_source(self, context: Context) -> RowSource:
        """
        Give where the rows come from; operators of other sources give theirs.

        :param context: of the task.
        """
        from airflow_provider_omnichat.tasks.plan import named_columns
        from airflow_provider_omnichat.tasks.row_source import GivenRows

        return GivenRows(self.private("invites"), named_columns(self))

    def result_sink(self, context: Context, campaign: str) -> ResultSink:
        """
        Give where the result rows go; operators with other places give theirs.

        :param context: of the task.
        :param campaign: the campaign's name.
        """
        from airflow_provider_omnichat.tasks.result_files import result_files

        return result_files(self, context, campaign)

    def rows_in(self, context: Context, campaign: str, location: str | None) -> dict[str, str] | None:
        """
        Say for other tasks where the rows are, and how they are found there; None where nobody else can read them.

        :param context: of the task.
        :param campaign: the campaign's name.
        :param location: of the results, or of the ledger; None where nobody else can read them.
        """
        if location and self.private("results_path"):
            return {"kind": "files", "path": location}
        if self.ledger_conn_id:
            ledger = {"conn_id": self.ledger_conn_id, "table": self.ledger_table, "campaign": campaign}
            return {"kind": "ledger", **ledger, "owner": task_identity(context)}
        return None

    def _send(self, context: Context, carried_over: dict[str, Any]) -> dict[str, Any]:
        from airflow_provider_omnichat.api.errors import AccountError
        from airflow_provider_omnichat.campaign.engine.send_campaign import CampaignRefusedError, send_campaign
        from airflow_provider_omnichat.campaign.results.tally import Tally
        from airflow_provider_omnichat.tasks.live_progress import progress_of
        from airflow_provider_omnichat.tasks.plan import campaign_plan

        self.refuse_missing_arguments()
        campaign = campaign_name(context, self.campaign, self.resend_key, self.ledger_conn_id)
        if not self.is_dry_run:
            self.agree_with_earlier_tries(context, campaign, is_resumed=bool(carried_over))
        hook = OmnichatHook(self.omnichat_conn_id, retry_budget=self.retry_budget)
        try:
            source = self.row_source(context)
            results = self.result_sink(context, campaign)
            plan = campaign_plan(self, context, campaign=campaign, account=hook.account, results=results)
            self.sandbox_url = hook.account.base_url if hook.account.is_on_this_machine else None
        except AccountError:
            raise  # may be mended while Airflow waits for the next try
        except ValueError as error:
            raise self._refusal(context, carried_over, error) from None
        try:
            if self.is_dry_run:
                return self._preview(context, plan, source)
            publish = progress_of(self, context, campaign, plan.records.results.location)
            if publish is not None and not carried_over:  # else what the tab has of before the wait stays until then
                publish({})  # the tab knows the task from now on
            report = send_campaign(
                plan,
                source,
                client=hook.get_async_conn(self.concurrency),
                log=self.log,
                publish=publish,
                stop=self._stop,
                tally=Tally(**carried_over),
            )
        except CampaignRefusedError as error:
            raise self._refusal(context, carried_over, error) from None
        return self._end(context, plan, report, is_resumed=bool(carried_over))

    def _end(self, context: Context, plan: CampaignPlan, report: CampaignReport, is_resumed: bool) -> dict[str, Any]:
        tally = report.tally
        ending = Ending(report)
        if report.interrupt is not None and not report.was_stopped:
            raise report.interrupt
        for outcome, names in report.unwritten.items():
            self.log.error("Not written to the ledger, %s: %s", outcome, ", ".join(names))
        manifest = tally.manifest(plan.campaign, report.location, report.missing)
        manifest["rows_in"] = self.rows_in(context, plan.campaign, report.location)
        self._push(context, "return_value", manifest)  # an error, too, leaves it for others to read
        self._push(context, "summary", tally.to_markdown(report.missing))
        if report.interrupt is not None:  # a time-out of the task, or its end by a signal
            self.log.error("%s", ending.stopped())
            raise report.interrupt
        ending.raise_if_another_try_helps()
        if not is_resumed:  # else it was not empty before the wait, and those who were sent to may have left it since
            raise_if_empty(tally, self.on_empty)
        for line in (*ending.summary.splitlines(), *tally.reason_lines()):
            self.log.info("%s", line)
        if tally.due[Outcome.HELD] and self.on_closed == "defer":
            ending.raise_if_too_many_were_rejected(self.max_rejected_ratio)
            self._sleep(tally, report.opens_at)
        ending.raise_if_in_doubt(self.max_unknown_ratio)
        ending.raise_if_too_many_were_rejected(self.max_rejected_ratio)
        ending.raise_if_no_row_was_fit()
        if ending.accepted_doubts:
            self.log.warning("%s", ending.accepted_doubts)
        add_to_asset_events(context, self.outlets or (), manifest)
        return manifest

    def _sleep(self, tally: Tally, until: datetime | None) -> None:
        """Free the worker until the window opens for the first of those who wait."""
        from airflow.providers.common.compat.standard.triggers import TimeDeltaTrigger

        now = datetime.now(UTC)
        until = until or now
        held = tally.due[Outcome.HELD]
        self.log.info("%s wait for their send window; this task goes on at %s", held, f"{until:%Y-%m-%d %H:%M:%S} UTC")
        trigger = TimeDeltaTrigger(max(until - now, timedelta(0)))
        self.defer(trigger=trigger, method_name="resume", kwargs=tally.carried_over)

    def _preview(self, context: Context, plan: CampaignPlan, source: RowSource) -> dict[str, Any]:
        from airflow_provider_omnichat.campaign.engine.preview_campaign import preview_campaign
        from airflow_provider_omnichat.campaign.preview.budget import BudgetError

        preview = preview_campaign(plan, source)
        manifest = {
            **preview.tally.manifest(plan.campaign, None),
            "dry_run": True,
            "fingerprint": preview.fingerprint,
            "preview": preview.statistics.to_json(),
        }
        self._push(context, "return_value", manifest)
        self._push(context, "summary", f"Dry run, nothing was sent: {preview.statistics.headline()}")
        self._push(context, "markdown", preview.statistics.to_markdown())
        self._push(context, "fingerprint", preview.fingerprint)
        self.log.info("%s", sentences("Dry run, nothing was sent", preview.tally.summary()))
        try:
            if preview.size is not None:  # as it will be checked before it is sent
                self.budget.check(preview.size)
        except BudgetError as error:
            raise self._refusal(context, {}, error) from None
        raise_if_empty(preview.tally, self.on_empty)
        return manifest

    def _push(self, context: Context, key: str, value: Any) -> None:
        if self.do_xcom_push:
            context["ti"].xcom_push(key=key, value=value)

    def _refusal(self, context: Context, carried_over: dict[str, Any], error: Exception) -> AirflowFailException:
        again = " this time" if carried_over or context["ti"].try_number > 1 else ""
        return AirflowFailException(sentences(f"Nothing was sent{again}", str(error)))
