"""How a batch task ends: green, red for good, red until the next try, or skipped; and the events of its assets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowSkipException, Asset

from airflow_provider_omnichat.api.errors import IdsIgnoredError
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.privacy import shown_address
from airflow_provider_omnichat.api.reasons import ReasonCode
from airflow_provider_omnichat.campaign.model.rows import RowSourceError
from airflow_provider_omnichat.campaign.model.sentences import paragraphs

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_omnichat.campaign.engine.report import CampaignReport
    from airflow_provider_omnichat.campaign.results.tally import Tally

_NO_ROWS = "Give results_path (or results_table, if the list is a query) to have a row for each invite"
_MOST_NAMES = 50
_IN_ASSET_EVENTS = ("campaign", "rows", "counts", "segments", "sent_this_try")
_OF_THE_TEXT = frozenset(
    {
        ReasonCode.NO_TEXT,
        ReasonCode.NOT_A_TEXT,
        ReasonCode.NO_FIELD_FOR_TEXT,
        ReasonCode.NO_LINK_PLACEHOLDER,
        ReasonCode.NOT_A_LINK,
        ReasonCode.MESSAGE_TOO_LONG,
    }
)
_ADVICE_ON_DOUBTS = (
    "See in the vendor's portal, and settle them with omnichat-ledger if you gave ledger_conn_id; or clear the task"
    " with on_unknown='lookup', which asks the vendor's SMS logs, or on_unknown='resend', at the risk of a second SMS"
    " for those that it claimed itself; on Airflow 3.4+, keep its task state then"
)


class Ending:
    """Raises what turns a task red: what another try can repair before what it cannot."""

    def __init__(self, report: CampaignReport) -> None:
        self._report = report
        self._tally = report.tally
        self._where = f"All rows: {shown_address(report.location)}" if report.location else _NO_ROWS
        self.summary = paragraphs(self._tally.summary(), self._where)

    def raise_if_another_try_helps(self) -> None:
        """Raise what Airflow retries: the retry sends only what was certainly not sent."""
        report = self._report
        if report.was_stopped or report.failure is not None:
            # What is wrong with a list, or with the account, is wrong in the next try, too.
            is_final = isinstance(report.failure, RowSourceError | IdsIgnoredError)
            kind = AirflowFailException if is_final else AirflowException
            raise kind(self.stopped())
        if self._tally.due[Outcome.NOT_SENT]:
            why = f"Sending was stopped: {report.stop_reason}" if report.stop_reason else None
            outcomes = (Outcome.NOT_SENT, Outcome.UNKNOWN)
            raise AirflowException(self._ending(outcomes, why, *self._still_due(), already_said=report.stop_reason))

    def stopped(self) -> str:
        """Describe how far a list got that was not brought to its end."""
        report = self._report
        return paragraphs(
            "The task was stopped" if report.was_stopped else None,
            str(report.failure) if report.failure is not None else None,
            "Sending was stopped" if report.failure is not None else None,
            f"So far, {self._tally.summary()}",
            self._not_read(),
            self._not_written(),
            self._where,
        )

    def _not_read(self) -> str | None:
        report, missing = self._report, self._report.missing
        if missing == 0:
            return None
        if missing is not None:
            read = f"{report.read} of {report.read if report.total is None else report.total}"
            unread = f"{missing} have"
        else:
            read, lost = str(report.read), report.read - self._tally.rows
            unread = f"{lost} of these and the rest of the list have" if lost else "the rest of the list has"
        return (
            f"{read} rows of the list were read; {unread} no outcome and no row in the results, and another try takes"
            " them up"
        )

    def _not_written(self) -> str | None:
        """Name the rows whose outcome only this process knew."""
        kinds = []
        for outcome, names in self._report.unwritten.items():
            more = f" and {len(names) - _MOST_NAMES} more, see the log" if len(names) > _MOST_NAMES else ""
            kinds.append(f"{outcome.label} {', '.join(names[:_MOST_NAMES])}{more}")
        if not kinds:
            return None
        return (
            "The ledger does not know how these ended, so that another try takes them for in doubt, unless the results"
            f" have them: {'; '.join(kinds)}"
        )

    def _still_due(self) -> list[str]:
        not_sent = self._tally.counts[Outcome.NOT_SENT]
        in_doubt = self._tally.due[Outcome.NOT_SENT] - not_sent
        due = []
        if not_sent:
            only = "" if in_doubt else "only "
            due.append(f"{not_sent} invites were certainly not sent; another try sends {only}those")
        if in_doubt:
            due.append(
                f"{in_doubt} invites that an earlier try may have sent were to be sent again and were not; they stay in"
                " doubt, and another try with on_unknown='resend' sends them"
            )
        return due

    def raise_if_too_many_were_rejected(self, max_ratio: float) -> None:
        """Raise when the vendor rejected more than this ratio of what it answered."""
        rejected = self._tally.counts[Outcome.REJECTED]
        sent = self._tally.counts[Outcome.ACCEPTED] + rejected
        if sent and rejected / sent > max_ratio:
            text = f"The vendor rejected {rejected} of {sent} invites, more than max_rejected_ratio {max_ratio:g}"
            raise AirflowFailException(self._ending((Outcome.REJECTED,), text))

    def raise_if_in_doubt(self, max_ratio: float = 0.0, is_repeated: bool = False) -> None:
        """Raise when more than this ratio of what was sent, or may have been, is in doubt."""
        unknown = self._tally.counts[Outcome.UNKNOWN]
        if unknown and unknown / self._tried > max_ratio:
            limit = f" (more than max_unknown_ratio {max_ratio:g} of {self._tried})" if max_ratio else ""
            after = ", and are not sent again by themselves"
            if is_repeated:
                after = "; another try sends those again that the vendor would recognise as repeats"
            text = f"{unknown} invites may have been sent, or not{limit}{after}"
            kind = AirflowException if is_repeated else AirflowFailException
            raise kind(self._ending((Outcome.UNKNOWN,), text, _ADVICE_ON_DOUBTS))

    @property
    def accepted_doubts(self) -> str | None:
        """What the log says about invites in doubt, if they are few enough for a green task; None if there are none."""
        unknown = self._tally.counts[Outcome.UNKNOWN]
        if not unknown:
            return None
        said = f"{unknown} of {self._tried} invites may have been sent, or not, as max_unknown_ratio allows"
        return self._ending((Outcome.UNKNOWN,), said, _ADVICE_ON_DOUBTS)

    @property
    def _tried(self) -> int:
        counts = self._tally.counts
        # Doubts of earlier runs count, and so does what these runs did send.
        earlier = self._tally.count_of(ReasonCode.ACCEPTED_EARLIER, ReasonCode.REJECTED_EARLIER)
        return counts[Outcome.ACCEPTED] + counts[Outcome.REJECTED] + counts[Outcome.UNKNOWN] + earlier

    def raise_if_no_row_was_fit(self) -> None:
        """Raise when all rows are invalid: it is probably the wrong list, column or text."""
        codes = {each["code"] for each in self._tally.reasons}
        question = "is it the right text?" if codes <= _OF_THE_TEXT else "is it the right list, and the right column?"
        if self._tally.rows and self._tally.counts[Outcome.INVALID] == self._tally.rows:
            text = f"Not one of {self._tally.rows} rows could be sent; {question}"
            raise AirflowFailException(self._ending((Outcome.INVALID,), text))

    def _ending(self, outcomes: tuple[Outcome, ...], *said: str | None, already_said: str | None = None) -> str:
        """Join what has happened and what to do, then the causes, each once, then the counts."""
        causes = self._tally.causes(*outcomes, said=already_said)
        return "\n".join(filter(None, (paragraphs(*said), causes, self.summary)))


def raise_if_empty(tally: Tally, on_empty: str) -> None:
    """End a batch without rows by the operator's *on_empty*."""
    if tally.rows or on_empty == "succeed":
        return
    if on_empty == "fail":
        raise AirflowFailException('The list of invites is empty, and on_empty="fail".')
    raise AirflowSkipException("The list of invites is empty.")


def add_to_asset_events(context: Context, outlets: Sequence[object], manifest: Mapping[str, Any]) -> None:
    """Attach the counts to the events of a task's outlets."""
    # Airflow 3 refuses extras for some of the others: an alias has only the events that a task adds to it by asset,
    # and conditions (AssetAll) or a file for its lineage have none.
    kinds: tuple[type, ...] = (Asset,)
    with suppress(ImportError):  # Airflow 2 has no references
        from airflow.sdk.definitions.asset import AssetRef

        kinds = (Asset, AssetRef)
    given: Any = context
    for outlet in outlets:
        if isinstance(outlet, kinds):
            given["outlet_events"][outlet].extra = {name: manifest[name] for name in _IN_ASSET_EVENTS}
