"""The operator that sends a list of invites from one task."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence, Sized
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    BaseOperator,
)

from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.privacy import describe_list, describe_text
from airflow_provider_omnichat.hooks.omnichat import OmnichatHook
from airflow_provider_omnichat.operators.arguments import one_of, seconds_of
from airflow_provider_omnichat.operators.ledger import DEFAULT_TABLE, batch_ledger, campaign_name, task_identity
from airflow_provider_omnichat.operators.private_fields import PrivateFieldsMixin

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_omnichat.campaign.batch import Batch
    from airflow_provider_omnichat.campaign.batch_gate import BatchGate
    from airflow_provider_omnichat.campaign.batch_thread import BatchThread
    from airflow_provider_omnichat.campaign.results import ResultSink
    from airflow_provider_omnichat.campaign.row_sources import BrokenRow
    from airflow_provider_omnichat.campaign.rows import Row


class SendInviteBatchOperator(PrivateFieldsMixin, BaseOperator):
    """
    Send SMS invites to a list of any length: each recipient at most once, each row to exactly one outcome.

    Rows stream through: they are checked, claimed in a ledger, sent many at once, and recorded. A later try sends
    only what was certainly not sent. The ledger is Airflow's task state store (3.3+), or, with *ledger_conn_id*, a
    table that holds across runs and DAGs and works on every Airflow.

    The return value (XCom) is the manifest, without personal data: ``campaign``, ``rows``, ``counts`` (by outcome;
    they add up to ``rows``), ``results`` (where the rows are), ``segments`` (SMS segments that the vendor counted in
    this try), ``sent_this_try``, ``started_at``, ``finished_at``. It is pushed before an error is raised, too.

    :param invites: a list of dicts, the output of another task, or the URI of a CSV or JSON-lines file on any storage
        that Airflow knows (``s3://conn_id@bucket/list.csv``), read as a stream. Fields: ``to`` (see *to_column*),
        ``message`` and ``link_placeholder`` where a row has its own, and any others. (templated; shown as a count)
    :param message: the text for rows without their own; ``{first_name}`` takes the row's field. (templated; not shown)
    :param link_placeholder: the piece of the text in whose place the server puts the invite's link. (templated)
    :param application_key: the OMNI application; that of the connection if None. (templated)
    :param integration_type: the channel that the invites lead to; that of the connection if None. (templated)
    :param omnichat_conn_id: the ``omnichat`` connection. (templated)
    :param default_region: the country of numbers without a country code, as two letters: ``CH``. (templated)
    :param to_column: the field that holds the number.
    :param key_column: the field that names a row in results and errors, such as ``customer_id``; not a personal one.
    :param campaign: a name within which a number is invited at most once, across runs and DAGs; needs
        *ledger_conn_id*. This task instance if None. (templated)
    :param ledger_conn_id: a database connection; the ledger is a table in it, made if missing. (templated)
    :param ledger_table: the name of that table, with a schema if need be. (templated)
    :param results_path: a directory, on any storage that Airflow knows, below which one row is written for each row
        of the list, in a folder of this task instance. (templated)
    :param results_format: ``"jsonl"`` or ``"csv"``.
    :param rate_limit: invites a second at most; None for as many as the vendor takes.
    :param concurrency: requests under way at most.
    :param retry_budget: seconds within which an invite that was certainly not taken is tried again inside this try.
    :param on_unknown: what to do with invites that an earlier try may have sent: ``"hold"`` keeps them as unknown,
        ``"resend"`` sends, at the risk of a second SMS.
    :param resend_key: change it, to any text, to send to the whole list again on purpose: for each value at most one
        SMS a number. (templated)
    :param on_empty: what an empty list does: ``"skip"`` the task, ``"succeed"`` or ``"fail"``.
    :param max_rejected_ratio: the task fails when the vendor rejected more than this part of what it was sent, 0 to 1.
    :param dry_run: everything but the sending; the manifest gets a ``preview``.
    :raises AirflowFailException: nothing can be mended by another try: invites in doubt, too many rejected, no row
        fit to be sent.
    :raises AirflowException: some were certainly not sent; Airflow retries the task, and the retry sends only those.
    :raises AirflowSkipException: the list is empty.
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
    )
    private_fields: ClassVar = {"invites": describe_list, "message": describe_text}
    ui_color = "#ffe3d3"

    _thread: BatchThread | None = None
    _killed = False

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
        key_column: str | None = None,
        campaign: str | None = None,
        ledger_conn_id: str | None = None,
        ledger_table: str = DEFAULT_TABLE,
        results_path: str | None = None,
        results_format: Literal["jsonl", "csv"] = "jsonl",
        rate_limit: float | None = None,
        concurrency: int = 32,
        retry_budget: float = 60.0,
        on_unknown: str = "hold",
        resend_key: str = "",
        on_empty: str = "skip",
        max_rejected_ratio: float = 0.1,
        dry_run: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        one_of("on_unknown", on_unknown, ("hold", "resend"))
        one_of("on_empty", on_empty, ("skip", "succeed", "fail"))
        one_of("results_format", results_format, ("jsonl", "csv"))
        if rate_limit is not None and not rate_limit > 0:
            raise ValueError(f"rate_limit must be above 0 invites a second, or None, not {rate_limit!r}")
        if not 1 <= concurrency <= 1000:
            raise ValueError(f"concurrency must be between 1 and 1000, not {concurrency!r}")
        if not 0 <= max_rejected_ratio <= 1:
            raise ValueError(f"max_rejected_ratio must be between 0 and 1, not {max_rejected_ratio!r}")
        self.invites = invites
        self.message = message
        self.link_placeholder = link_placeholder
        self.application_key = application_key
        self.integration_type = integration_type
        self.omnichat_conn_id = omnichat_conn_id
        self.default_region = default_region
        self.to_column = to_column
        self.key_column = key_column
        self.campaign = campaign
        self.ledger_conn_id = ledger_conn_id
        self.ledger_table = ledger_table
        self.results_path = results_path
        self.results_format = results_format
        self.rate_limit = rate_limit
        self.concurrency = concurrency
        self.retry_budget = seconds_of("retry_budget", retry_budget)
        self.on_unknown = on_unknown
        self.resend_key = resend_key
        self.on_empty = on_empty
        self.max_rejected_ratio = max_rejected_ratio
        self.is_dry_run = dry_run

    def execute(self, context: Context) -> dict[str, Any]:
        """Send the list; see the class."""
        from airflow_provider_omnichat.api.errors import AccountError
        from airflow_provider_omnichat.campaign.batch_thread import BatchThread

        campaign = campaign_name(context, self.campaign, self.resend_key, self.ledger_conn_id)
        hook = OmnichatHook(self.omnichat_conn_id, retry_budget=self.retry_budget)
        try:
            gate = self._gate(hook, campaign)
            rows = self._rows()
        except AccountError:
            raise  # may be mended while Airflow waits for the next try
        except ValueError as error:
            raise AirflowFailException(f"Nothing was sent. {error}") from None
        if self.is_dry_run:
            return self._preview(gate, rows, campaign)
        batch = self._batch(context, hook, gate, campaign)
        self._thread = BatchThread(batch)
        if self._killed:
            self._thread.stop()
        self._thread.run(rows)
        where = batch.location or self._ledger_place()
        manifest = batch.tally.manifest(campaign, where)
        if self.do_xcom_push:
            context["ti"].xcom_push(key="return_value", value=manifest)  # an error, too, leaves it for others to read
        self._raise_if_needed(batch, where)
        return manifest

    def on_kill(self) -> None:
        """Begin no further request; those under way get a few seconds, and what there is is recorded."""
        self._killed = True
        if self._thread is not None:
            self._thread.stop()

    def _gate(self, hook: OmnichatHook, campaign: str) -> BatchGate:
        from airflow_provider_omnichat.campaign.batch_gate import BatchGate
        from airflow_provider_omnichat.campaign.message_template import MessageTemplate

        account = hook.account
        message = self.private("message")
        return BatchGate(
            campaign=campaign,
            template=MessageTemplate(message) if message else None,
            link_placeholder=self.link_placeholder,
            application_key=self.application_key or account.application_key,
            integration_type=self.integration_type or account.integration_type,
            default_region=self.default_region,
            to_column=self.to_column,
            key_column=self.key_column,
        )

    def _batch(self, context: Context, hook: OmnichatHook, gate: BatchGate, campaign: str) -> Batch:
        from airflow_provider_omnichat.campaign.batch import Batch, Limits

        limits = Limits(
            rate_limit=self.rate_limit,
            concurrency=self.concurrency,
            retry_budget=self.retry_budget,
            resend_unknown=self.on_unknown == "resend",
        )
        return Batch(
            gate=gate,
            ledger=batch_ledger(self, context, campaign),
            results=self._results(context, campaign),
            client=hook.get_async_conn(self.concurrency),
            limits=limits,
            log=self.log,
            total=self._total(),
        )

    def _total(self) -> int | None:
        """How many rows the list has, where that is known."""
        invites = self.private("invites")
        return len(invites) if isinstance(invites, Sized) and not isinstance(invites, str) else None

    def _rows(self) -> Iterator[Row | BrokenRow]:
        from airflow_provider_omnichat.campaign.row_sources import rows_of_file, rows_of_list

        invites = self.private("invites")
        if not isinstance(invites, str):
            return rows_of_list(invites)
        from airflow.providers.common.compat.sdk import ObjectStoragePath

        path: Any = ObjectStoragePath(invites)
        return rows_of_file(lambda: path.open("rb"), path.name)

    def _results(self, context: Context, campaign: str) -> ResultSink:
        from airflow_provider_omnichat.campaign.ledger import recipient_key
        from airflow_provider_omnichat.campaign.result_files import ResultFiles
        from airflow_provider_omnichat.campaign.results import NoResults

        if not self.results_path:
            return NoResults()
        from airflow.providers.common.compat.sdk import ObjectStoragePath

        parts = [*task_identity(context).split("/"), *([self.resend_key] if self.resend_key else [])]
        folder = ObjectStoragePath(self.results_path).joinpath(*(_file_name(part) for part in parts))
        return ResultFiles(
            folder,
            format=self.results_format,
            try_number=context["ti"].try_number,
            key_column=self.key_column,
            recipient_of=lambda to: recipient_key(campaign, to),
        )

    def _preview(self, gate: BatchGate, rows: Iterator[Row | BrokenRow], campaign: str) -> dict[str, Any]:
        from airflow_provider_omnichat.campaign.dry_run import preview_of

        manifest = preview_of(gate, rows, campaign)
        self.log.info("Dry run, nothing was sent: %s rows, %s", manifest["rows"], manifest["counts"])
        return manifest

    def _ledger_place(self) -> str | None:
        return f"table {self.ledger_table} of connection {self.ledger_conn_id}" if self.ledger_conn_id else None

    def _raise_if_needed(self, batch: Batch, place: str | None) -> None:
        """Red when it failed: the worst first, and what another try can mend before what it cannot."""
        tally, counts = batch.tally, batch.tally.counts
        where = f"All rows: {place}." if place else "Give results_path to have a row for each invite."
        if batch.abandoned:
            raise AirflowException(f"The task was stopped. So far, {tally.summary()}. {where}")
        if batch.failure is not None:
            raise AirflowException(f"{batch.failure} Sending was stopped. So far, {tally.summary()}. {where}")
        if not tally.rows:
            return self._end_empty()
        self.log.info("%s. %s", tally.summary(), where)
        sent = counts[Outcome.ACCEPTED] + counts[Outcome.REJECTED]
        told = f"{tally.summary()}. {where}"
        if counts[Outcome.NOT_SENT]:
            why = f" Sending was stopped: {batch.stop_reason}." if batch.stop_reason else ""
            raise AirflowException(
                f"{counts[Outcome.NOT_SENT]} invites were certainly not sent; another try sends only those.{why}"
                f" {told}\n{tally.examples(Outcome.NOT_SENT, Outcome.UNKNOWN)}"
            )
        if counts[Outcome.UNKNOWN]:
            raise AirflowFailException(
                f"{counts[Outcome.UNKNOWN]} invites may have been sent, or not, and are not sent again by themselves."
                " See in the vendor's portal; to risk a second SMS for them, clear the task with on_unknown='resend'."
                f" {told}\n{tally.examples(Outcome.UNKNOWN)}"
            )
        if sent and counts[Outcome.REJECTED] / sent > self.max_rejected_ratio:
            raise AirflowFailException(
                f"The vendor rejected {counts[Outcome.REJECTED]} of {sent} invites, more than max_rejected_ratio"
                f" {self.max_rejected_ratio:g}. {told}\n{tally.examples(Outcome.REJECTED)}"
            )
        if counts[Outcome.INVALID] == tally.rows:
            raise AirflowFailException(
                f"Not one of {tally.rows} rows could be sent; is it the right list, and the right column?"
                f" {told}\n{tally.examples(Outcome.INVALID)}"
            )
        return None

    def _end_empty(self) -> None:
        if self.on_empty == "fail":
            raise AirflowFailException('The list of invites is empty, and on_empty="fail".')
        if self.on_empty == "skip":
            raise AirflowSkipException("The list of invites is empty.")
        self.log.info("The list of invites is empty.")


def _file_name(part: str) -> str:
    return re.sub(r"[^A-Za-z0-9._=+-]", "_", part).strip(".") or "_"
