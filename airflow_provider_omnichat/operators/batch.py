"""The operator that sends a list of invites from one task; half of the file is its parameters and what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator

from airflow_provider_omnichat.api.errors import AccountError
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.privacy import describe_list, describe_text, mask_numbers, shown_address
from airflow_provider_omnichat.campaign.checks.partition import Partition
from airflow_provider_omnichat.campaign.checks.send_window import SendWindow
from airflow_provider_omnichat.campaign.checks.text import LinkTemplate, MessageTemplate, message_template
from airflow_provider_omnichat.campaign.engine.plan import CampaignPlan, Pace, Records, Rules
from airflow_provider_omnichat.campaign.engine.process import StopSignal
from airflow_provider_omnichat.campaign.ledger.frequency_cap import FrequencyCap
from airflow_provider_omnichat.campaign.ledger.sql_table import DEFAULT_TABLE
from airflow_provider_omnichat.campaign.model.arguments import one_of, ratio_of, seconds_of
from airflow_provider_omnichat.campaign.model.rows import Columns
from airflow_provider_omnichat.campaign.model.sentences import sentences
from airflow_provider_omnichat.campaign.preview.budget import Budget, BudgetError
from airflow_provider_omnichat.campaign.rows.columns import Need, RowColumns
from airflow_provider_omnichat.hooks.omnichat import OmnichatHook
from airflow_provider_omnichat.operators.links import InvitesLink, ResultsLink, SandboxLink
from airflow_provider_omnichat.tasks.earlier_tries import EarlierTriesMixin
from airflow_provider_omnichat.tasks.ending import Ending, add_to_asset_events, raise_if_empty
from airflow_provider_omnichat.tasks.fields import Field, Kind, table, templated
from airflow_provider_omnichat.tasks.ledger import batch_ledger, campaign_name
from airflow_provider_omnichat.tasks.route_arguments import ROUTE_FIELDS, is_template, refuse_wrong_route, route_of
from airflow_provider_omnichat.tasks.short_errors import short_errors

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_omnichat.api.account import Account
    from airflow_provider_omnichat.campaign.engine.report import CampaignReport
    from airflow_provider_omnichat.campaign.model.place import Place
    from airflow_provider_omnichat.campaign.model.rows import RowSource
    from airflow_provider_omnichat.campaign.results.tally import Tally


def _shown_opt_outs(given: Any) -> Any:
    if isinstance(given, dict) and "sql" in given:
        return {name: mask_numbers(given.get(name)) for name in ("conn_id", "sql")}
    return describe_list(given)


class SendInviteBatchOperator(EarlierTriesMixin, BaseOperator):
    """
    Send SMS invites to a list of any length: each recipient at most once, each row to exactly one outcome.

    Rows stream through: they are checked, claimed in a ledger, sent many at once, and recorded. A later try sends
    only what was certainly not sent. The ledger is Airflow's task state store (3.3+), or, with *ledger_conn_id*, a
    table that holds across runs and DAGs and works on every Airflow. Where nothing is remembered of earlier tries, it
    sends nothing (``docs/explanation/promise.md``). Mapped tasks need *ledger_conn_id*.

    The return value (XCom) is the manifest, without personal data: ``campaign``, ``rows``, ``counts`` (by outcome;
    they add up to ``rows``), ``missing`` (rows of the list without an outcome, because the try ended before; None if
    their number is not known), ``reasons`` (why rows were not accepted: the most frequent ones of each outcome, with
    ``outcome``, ``code``, ``name`` of the vendor's status, ``count`` and the keys of the ``first`` rows, or their
    positions), ``results`` (where the rows are), ``rows_in`` (the same for other tasks), ``segments`` (SMS segments
    that the vendor counted in this try), ``sent_this_try``, ``started_at``, ``finished_at``. XCom ``summary`` says the
    same in one line of Markdown. Both are pushed before an error is raised, too.

    :param invites: a list of dicts, the output of another task or of mapped ones that give a list each, a dict that is
        the only row, or a CSV or JSON-lines file on any storage that Airflow knows, read as a stream: its address
        (``s3://conn_id@bucket/list.csv``), a ``Path`` or an ``ObjectStoragePath``. Fields: ``to`` (see *to_column*),
        ``message`` and ``link_placeholder`` where a row has its own, and any others. (templated; shown as a count)
    :param message: the text for rows without their own; ``{first_name}`` takes the row's field. One without the
        placeholder is refused before the list is read. (templated; shown with nothing filled in, or as a length)
    :param link_placeholder: the piece of the text that the server replaces with the invite's link. (templated)
    :param application_key: the OMNI application; that of the connection if None. (templated)
    :param integration_type: the channel that the invites lead to; that of the connection if None. (templated)
    :param link: your own link in place of the vendor's, which takes fields as *message* does, URL-encoded; the invite
        then goes out through the SMS API (``docs/how-to/own-link.md``). (templated; shown as *message* is)
    :param sender: what the phone shows as sender, with *link*: 3-11 letters and digits, or 3-14 digits; that of the
        connection if None. (templated)
    :param shorten_links: whether the vendor shortens *link* and counts clicks.
    :param omnichat_conn_id: the ``omnichat`` connection. (templated)
    :param default_region: the country of numbers without a country code, as two letters: ``CH``. (templated)
    :param to_column: the field that holds the number. Fields are found without regard to capitals where that is clear;
        a list in which no row has a named field is refused before anything is sent.
    :param region_column: the field that holds the country of a row's number, as two letters, for lists of several
        countries; *default_region* counts where it is empty.
    :param key_column: the field that names a row in results and errors, such as ``customer_id``; not a personal one.
    :param campaign: a name without ``#`` within which a number is invited at most once, across runs and DAGs; needs
        *ledger_conn_id*. This run's task if None. It must stay the same over tries. (templated)
    :param ledger_conn_id: a database connection; the ledger is a table in it, made if missing. (templated)
    :param ledger_table: the name of that table, with a schema if needed. (templated)
    :param ledger_patience: seconds that the ledger, or the place for results, may be away in the middle of sending:
        nothing is sent in that time, and what is known is written again until it is back.
    :param results_path: a directory, on any storage that Airflow knows, below which one row is written for each row
        of the list, in a folder of this task instance. (templated)
    :param results_format: ``"jsonl"`` or ``"csv"``.
    :param rate_limit: invites a second at most; None for as many as the vendor takes.
    :param concurrency: requests under way at most.
    :param retry_budget: seconds within which an invite that was certainly not taken is tried again inside this try.
    :param on_unknown: what to do with invites that an earlier try may have sent: ``"hold"`` keeps them in doubt,
        ``"resend"`` sends, at the risk of a second SMS. One that is not sent again after all stays in doubt.
        ``"lookup"`` asks the vendor's SMS logs for them, and for those of other runs of the campaign, once all others
        are sent, two a second at most: those found are accepted, the others stay in doubt, and nothing is sent because
        of it.
    :param resend_key: change it, to any text, and clear the task to send to the whole list again on purpose: for each
        value at most one SMS a number. Written out, or from a Variable; a value that changes by itself is refused.
        (templated)
    :param on_empty: what an empty list does: ``"skip"`` the task, ``"succeed"`` or ``"fail"``.
    :param max_rejected_ratio: the task fails when the vendor rejected more than this ratio of what it was sent, 0 to 1.
    :param max_unknown_ratio: the task fails when more than this ratio of what was sent is in doubt, 0 to 1. Fewer are
        listed all the same, first in the counts, and stay in doubt.
    :param suppression: the opt-out list: numbers, as a list, the output of other tasks, a CSV or JSON-lines file as
        *invites* has it (the column *to_column*, or its only one), or a query ``{"conn_id": "...", "sql": "..."}``. A
        national number is of the country in its *region_column*, else of *default_region*. (templated; shown as a
        count, a query with numbers masked)
    :param send_window: when people may be written to, on the clock where they live: ``("09:00", "20:00")``, or a
        :class:`~airflow_provider_omnichat.campaign.checks.send_window.SendWindow` for days, time zones and what happens
        outside of it. None for any time.
    :param max_per_recipient: number of invites that a person gets at most in a period, over all campaigns of the
        ledger: ``(2, "7d")``; needs *ledger_conn_id*.
    :param budget: how large the whole list may be, as a
        :class:`~airflow_provider_omnichat.campaign.preview.budget.Budget`: ``Budget(max_invites=10_000)``. A larger
        list is refused before the first send; a dry run shows its price.
    :param approved: the ``fingerprint`` that a dry run gave (XCom); a list with other people or texts is refused before
        the first send. (templated)
    :param partition: ``(part, parts)``, such as ``(0, 4)``: this task takes one share of the list, by the number, so
        that several tasks can share it. (templated)
    :param dry_run: everything but the sending. The manifest gets a ``preview``; the same for people is XCom
        ``markdown``, and XCom ``fingerprint`` is what *approved* takes.
    :raises ValueError: when the DAG is parsed: names the argument, and what to write.
    :raises AirflowFailException: another try cannot help: invites in doubt, too many rejected, no row fit to send.
    :raises AirflowException: some were certainly not sent; Airflow retries the task, and the retry sends only those.
    :raises airflow_provider_omnichat.campaign.model.rows.ListFailedError: the source of the list failed before anything
        was sent; Airflow retries the task.
    :raises AirflowSkipException: the list is empty.
    :raises TaskDeferred: some recipients wait for the window; Airflow resumes the task then.
    """

    argument_fields: ClassVar = table(
        Field("invites", Kind.VALUE, shown=describe_list),
        Field("message", Kind.TEXT, shown=describe_text, shown_marks=("{",)),
        *ROUTE_FIELDS.values(),
        "omnichat_conn_id",
        "default_region",
        "campaign",
        "ledger_conn_id",
        "ledger_table",
        Field("results_path", shown=shown_address),
        Field("resend_key", may_be_empty=True),
        Field("suppression", Kind.VALUE, shown=_shown_opt_outs),
        "approved",
        Field("partition", Kind.VALUE),
        *(Field(name, templated=False) for name in ("to_column", "region_column", "key_column")),
    )
    template_fields: Sequence[str] = templated(argument_fields)
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
        link: str | None = None,
        sender: str | None = None,
        shorten_links: bool = False,
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
        on_unknown: Literal["hold", "resend", "lookup"] = "hold",
        resend_key: str = "",
        on_empty: Literal["skip", "succeed", "fail"] = "skip",
        max_rejected_ratio: float = 0.1,
        max_unknown_ratio: float = 0.0,
        suppression: Any = None,
        send_window: SendWindow | tuple[str, str] | None = None,
        max_per_recipient: tuple[int, str] | None = None,
        budget: Budget | None = None,
        approved: str | None = None,
        partition: tuple[int, int] | None = None,
        dry_run: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.invites = invites
        self.message = message
        self.link_placeholder = link_placeholder
        self.application_key = application_key
        self.integration_type = integration_type
        self.link = link
        self.sender = sender
        self.shorten_links = shorten_links
        self.omnichat_conn_id = omnichat_conn_id
        self.default_region = default_region
        self.to_column = to_column
        self.region_column = region_column
        self.key_column = key_column
        self.campaign = campaign
        self.ledger_conn_id = ledger_conn_id
        self.ledger_table = ledger_table
        self.results_path = results_path
        self.resend_key = resend_key
        self.suppression = suppression
        self.approved = approved
        self.partition = partition
        self.refuse_non_texts()
        refuse_wrong_route(link, sender, shorten_links)
        one_of("on_empty", on_empty, ("skip", "succeed", "fail"))
        one_of("results_format", results_format, ("jsonl", "csv"))
        if max_per_recipient is not None and ledger_conn_id is None:
            raise ValueError("max_per_recipient needs ledger_conn_id: a database that knows what people got before")
        self.ledger_patience = seconds_of("ledger_patience", ledger_patience)
        self.results_format = results_format
        self.pace = Pace(rate_limit, concurrency, retry_budget, on_unknown)
        self.on_empty = on_empty
        self.max_rejected_ratio = ratio_of("max_rejected_ratio", max_rejected_ratio)
        self.max_unknown_ratio = ratio_of("max_unknown_ratio", max_unknown_ratio)
        self.send_window = SendWindow.of(send_window)
        self.max_per_recipient = FrequencyCap.of(max_per_recipient)
        self.budget = Budget.of(budget)
        self.is_dry_run = dry_run
        texts = [text for text in (message, link_placeholder) if isinstance(text, str) and text.strip()]
        if len(texts) == 2 and not any(map(is_template, texts)):
            message_template(*texts)

    @short_errors
    def execute(self, context: Context) -> dict[str, Any]:
        """Send the list; see the class."""
        return self._send(context, {})

    @short_errors
    def resume(self, context: Context, event: Any = None, **carried_over: Any) -> dict[str, Any]:
        """Send to those whose window has opened; Airflow calls it after a deferral with the tally of before."""
        return self._send(context, carried_over)

    @cached_property
    def _stop(self) -> StopSignal:
        return StopSignal()

    def on_kill(self) -> None:
        """Begin no further request; those under way get a few seconds, and every outcome is recorded."""
        self._stop.set()

    def row_source(self, context: Context) -> RowSource:
        """Return where the rows come from; an operator with another source overrides it."""
        from airflow_provider_omnichat.tasks.row_sources import GivenRows

        return GivenRows(self.private("invites"), self.row_columns())

    def row_columns(self, *others: Need) -> RowColumns:
        """Return the columns that the arguments name, and others; a list without one of them is refused."""
        kinds = (MessageTemplate, LinkTemplate)
        templates = [kind(text) for kind in kinds if (text := self.private(kind.argument))]
        named = {
            "key_column": self.key_column,
            "region_column": self.region_column,
            "send_window.zone_column": self.send_window and self.send_window.zone_column,
            "to_column": self.to_column,
        }
        return RowColumns(
            [
                *(Need(field, field, template.argument) for template in templates for field in template.fields),
                *(Need(column, column, argument) for argument, column in named.items() if column),
                *others,
            ]
        )

    def result_place(self, context: Context, campaign: str) -> Place:
        """Find where the result rows go; an operator with another place overrides this."""
        from airflow_provider_omnichat.tasks.places import place_of_operator

        return place_of_operator(self, context, campaign)

    def campaign_plan(self, context: Context, campaign: str, account: Account, results: Place) -> CampaignPlan:
        """Build the plan of the campaign from the rendered arguments; the opt-out list is read for it."""
        from airflow_provider_omnichat.campaign.checks.invite import defaults_of
        from airflow_provider_omnichat.campaign.phone.number import checked_region
        from airflow_provider_omnichat.tasks.row_sources import read_opt_outs

        checked_region(self.default_region)
        message = self.private("message")
        route = route_of(self)
        template = message_template(message, route["link_placeholder"]) if message else None
        invite = defaults_of(account, template=template, default_region=self.default_region, **route)
        suppression = self.private("suppression")
        opt_outs = read_opt_outs(suppression, self.to_column, self.region_column, self.default_region, self.log)
        rules = Rules(
            opt_outs=opt_outs,
            send_window=self.send_window,
            frequency_cap=self.max_per_recipient,
            partition=Partition.of(self.partition),
            budget=self.budget,
            approved=self.approved,
        )
        ledger = batch_ledger(self, context, campaign, waits=self.send_window is not None and rules.waits)
        records = Records(ledger, results, self.ledger_patience)
        repeat_seconds = account.repeat_seconds if invite.link else None
        pace = replace(self.pace, log_delay=account.log_delay, repeat_seconds=repeat_seconds)
        columns = Columns(self.to_column, self.region_column, self.key_column)
        return CampaignPlan(campaign, invite, columns, rules, pace, records)

    def _send(self, context: Context, carried_over: dict[str, Any]) -> dict[str, Any]:
        from airflow_provider_omnichat.campaign.engine.measuring import CampaignRefusedError
        from airflow_provider_omnichat.campaign.engine.send_campaign import send_campaign
        from airflow_provider_omnichat.campaign.results.tally import Tally
        from airflow_provider_omnichat.tasks.live_progress import progress_of

        self.refuse_missing_arguments()
        campaign = campaign_name(context, self.campaign, self.resend_key, self.ledger_conn_id)
        if not self.is_dry_run:
            self.agree_with_earlier_tries(context, campaign, is_resumed=bool(carried_over))
        hook = OmnichatHook(self.omnichat_conn_id, retry_budget=self.pace.retry_budget)
        try:
            source = self.row_source(context)
            results = self.result_place(context, campaign)
            plan = self.campaign_plan(context, campaign, hook.account, results)
            self.sandbox_url = hook.account.base_url if hook.account.is_on_this_machine else None
        except AccountError:
            raise  # the connection may be corrected before the next try
        except ValueError as error:
            raise self._refusal(context, carried_over, error) from None
        try:
            if self.is_dry_run:
                return self._preview(context, plan, source)
            publish = progress_of(context, self.log, campaign, results.location) if self.do_xcom_push else None
            if publish is not None and not carried_over:  # after a wait, the tab keeps what it shows
                publish({})  # the tab knows the task from now on
            report = send_campaign(
                plan,
                source,
                client=hook.get_async_conn(self.pace.concurrency),
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
            self.log.error("Not written to the ledger, %s: %s", outcome.label, ", ".join(names))
        manifest = tally.manifest(plan.campaign, report.location, report.missing)
        manifest["rows_in"] = plan.records.results.rows_in()
        self._push(context, "return_value", manifest)  # an error, too, leaves it for others to read
        self._push(context, "summary", tally.to_markdown(report.missing))
        if report.interrupt is not None:  # a time-out of the task, or its end by a signal
            self.log.error("%s", ending.stopped())
            raise report.interrupt
        ending.raise_if_another_try_helps()
        if not is_resumed:  # after a wait it was not empty before, and those who were sent to may have left it since
            raise_if_empty(tally, self.on_empty)
        for line in (*ending.summary.splitlines(), *tally.reason_lines()):
            self.log.info("%s", line)
        if tally.due[Outcome.HELD] and plan.rules.waits:
            ending.raise_if_too_many_were_rejected(self.max_rejected_ratio)
            self._sleep(tally, report.opens_at)
        ending.raise_if_in_doubt(self.max_unknown_ratio, plan.pace.repeat_seconds is not None)
        ending.raise_if_too_many_were_rejected(self.max_rejected_ratio)
        ending.raise_if_no_row_was_fit()
        if ending.accepted_doubts:
            self.log.warning("%s", ending.accepted_doubts)
        add_to_asset_events(context, self.outlets or (), manifest)
        return manifest

    def _sleep(self, tally: Tally, until: datetime | None) -> None:
        from airflow.providers.common.compat.standard.triggers import TimeDeltaTrigger

        now = datetime.now(UTC)
        until = until or now
        held = tally.due[Outcome.HELD]
        self.log.info("%s wait for their send window; this task goes on at %s", held, f"{until:%Y-%m-%d %H:%M:%S} UTC")
        trigger = TimeDeltaTrigger(max(until - now, timedelta(0)))
        self.defer(trigger=trigger, method_name="resume", kwargs=tally.carried_over)

    def _preview(self, context: Context, plan: CampaignPlan, source: RowSource) -> dict[str, Any]:
        from airflow_provider_omnichat.campaign.engine.preview_campaign import preview_campaign
        from airflow_provider_omnichat.campaign.preview.markdown import headline_of, markdown_of

        preview = preview_campaign(plan, source)
        manifest = {
            **preview.tally.manifest(plan.campaign, None),
            "dry_run": True,
            "fingerprint": preview.fingerprint,
            "preview": preview.statistics.to_json(),
        }
        self._push(context, "return_value", manifest)
        self._push(context, "summary", f"Dry run, nothing was sent: {headline_of(preview.statistics)}")
        self._push(context, "markdown", markdown_of(preview.statistics))
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
