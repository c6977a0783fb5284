"""The operator that sends one invite."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, BaseOperator

from airflow_provider_omnichat.api.errors import (
    IdsIgnoredError,
    InvalidInviteError,
    InviteNotSentError,
    InviteUnknownError,
    SendError,
    SmsLogsError,
)
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.privacy import describe_text, mask_number, scrub
from airflow_provider_omnichat.campaign.ledger.sql_table import DEFAULT_TABLE
from airflow_provider_omnichat.campaign.model.arguments import one_of, seconds_of
from airflow_provider_omnichat.campaign.model.sentences import paragraphs, sentences
from airflow_provider_omnichat.hooks.omnichat import OmnichatHook
from airflow_provider_omnichat.operators.links import InvitesLink, SandboxLink
from airflow_provider_omnichat.tasks.earlier_tries import EarlierTriesMixin
from airflow_provider_omnichat.tasks.fields import Field, Kind, table, templated
from airflow_provider_omnichat.tasks.ledger import campaign_name, invite_ledger
from airflow_provider_omnichat.tasks.live_progress import progress_of
from airflow_provider_omnichat.tasks.route_arguments import ROUTE_FIELDS, refuse_wrong_route, route_of
from airflow_provider_omnichat.tasks.short_errors import short_errors

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_omnichat.api.models import Invite, InviteAnswer
    from airflow_provider_omnichat.api.reasons import Reason
    from airflow_provider_omnichat.campaign.ledger.interface import Entry, Settlement


class SendInviteOperator(EarlierTriesMixin, BaseOperator):
    """
    Send one SMS invite, at most once over all tries of the task.

    Before the request leaves, a claim is written to Airflow's task state store (Airflow 3.3+), or to the database of
    *ledger_conn_id*. A later try, also after *Clear*, returns the answer of an invite that was accepted and sends
    nothing; if it finds a claim without an answer, it fails: the invite is in doubt. If nothing is remembered of
    earlier tries, it fails as well (``docs/explanation/promise.md``). Mapped tasks need *ledger_conn_id*.

    XCom: ``messageId`` (str) and ``status`` (dict, the vendor's status object), also of an invite that the vendor
    rejected; the return value is the vendor's whole answer, the number included: it is what the vendor said. With
    *mask_to* the number in it is masked; ``do_xcom_push=False`` keeps all of it out.

    .. seealso:: https://www.infobip.com/docs/api (OMNI Chat)

    :param to: phone number as people write it, ``+41 79 302 67 27`` or ``0041793026727``, and with *default_region*
        also ``079 302 67 27``. (templated; shown masked)
    :param message: the text, with *link_placeholder* in it. (templated; shown with nothing filled in, or as a length)
    :param link_placeholder: the piece of *message* that the server replaces with the invite's link. (templated)
    :param application_key: the OMNI application; that of the connection if None. (templated)
    :param integration_type: the channel that the invite leads to; that of the connection if None. (templated)
    :param link: your own link in place of the vendor's, through the SMS API (``docs/how-to/own-link.md``). (templated)
    :param sender: what the phone shows as sender, with *link*; that of the connection if None. (templated)
    :param shorten_links: whether the vendor shortens *link* and counts clicks.
    :param omnichat_conn_id: the ``omnichat`` connection. (templated)
    :param default_region: the country of numbers without a country code, as two letters: ``CH``. (templated)
    :param on_unknown: what to do when an earlier try may have sent the invite: ``"hold"`` fails without sending,
        ``"resend"`` sends, at the risk of a second SMS. One that is not taken then stays in doubt. ``"lookup"`` asks
        the vendor's SMS logs, and sends nothing: an invite found there was accepted, any other is held.
    :param resend_key: change it, to any text, and clear the task to send again on purpose: for each value there is at
        most one SMS. Written out, or from a Variable; a value that changes by itself is refused. (templated)
    :param campaign: a name without ``#`` within which the number is invited at most once, across runs and DAGs; needs
        *ledger_conn_id*. This run's task if None. It must stay the same over tries. (templated)
    :param ledger_conn_id: a database connection; the claim is written to a table in it, made if missing. (templated)
    :param ledger_table: the name of that table, with a schema if needed. (templated)
    :param retry_budget: seconds within which an invite that was certainly not taken (no connection, 429, 503 with
        ``Retry-After``) is tried again inside this try; 0 for a single attempt.
    :param mask_to: mask the number in the return value, which is kept in Airflow's database and shown in its UI.
    :raises AirflowFailException: the invite is invalid, rejected or in doubt; Airflow does not retry the task.
    :raises airflow_provider_omnichat.api.errors.InviteNotSentError: certainly not sent; Airflow retries the task.
    :raises airflow_provider_omnichat.campaign.ledger.interface.LedgerError: the state store cannot be read or written.
    """

    argument_fields: ClassVar = table(
        Field("to", Kind.VALUE, shown=mask_number),  # a whole number is one, too
        Field("message", Kind.TEXT, shown=describe_text, shown_marks=("{{", "{%")),
        *ROUTE_FIELDS.values(),
        "omnichat_conn_id",
        "default_region",
        Field("resend_key", may_be_empty=True),
        "campaign",
        "ledger_conn_id",
        "ledger_table",
    )
    template_fields: Sequence[str] = templated(argument_fields)
    operator_extra_links = (InvitesLink(), SandboxLink())
    ui_color = "#ffe3d3"

    sandbox_url: str | None = None

    _hook: OmnichatHook | None = None
    _killed = False

    def __init__(
        self,
        *,
        to: str,
        message: str,
        link_placeholder: str = "<link>",
        application_key: str | None = None,
        integration_type: str | None = None,
        link: str | None = None,
        sender: str | None = None,
        shorten_links: bool = False,
        omnichat_conn_id: str = OmnichatHook.default_conn_name,
        default_region: str | None = None,
        on_unknown: Literal["hold", "resend", "lookup"] = "hold",
        resend_key: str = "",
        campaign: str | None = None,
        ledger_conn_id: str | None = None,
        ledger_table: str = DEFAULT_TABLE,
        retry_budget: float = 60.0,
        mask_to: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.to = to
        self.message = message
        self.link_placeholder = link_placeholder
        self.application_key = application_key
        self.integration_type = integration_type
        self.link = link
        self.sender = sender
        self.shorten_links = shorten_links
        self.omnichat_conn_id = omnichat_conn_id
        self.default_region = default_region
        self.resend_key = resend_key
        self.campaign = campaign
        self.ledger_conn_id = ledger_conn_id
        self.ledger_table = ledger_table
        self.refuse_non_texts()
        refuse_wrong_route(link, sender, shorten_links)
        one_of("on_unknown", on_unknown, ("hold", "resend", "lookup"))
        self.on_unknown = on_unknown
        self.retry_budget = seconds_of("retry_budget", retry_budget)
        self.mask_to = mask_to

    @short_errors
    def execute(self, context: Context) -> dict[str, Any]:
        """Send the invite; see the class."""
        from airflow_provider_omnichat.campaign.engine.progress import snapshot_of_one
        from airflow_provider_omnichat.campaign.engine.single import SHOWN_AS, send_at_most_once
        from airflow_provider_omnichat.campaign.ledger.retake import Retake

        self.refuse_missing_arguments()
        campaign = campaign_name(context, self.campaign, self.resend_key, self.ledger_conn_id)
        self.agree_with_earlier_tries(context, campaign)
        publish = progress_of(context, self.log, campaign) if self.do_xcom_push else None

        def show(
            outcome: Outcome, reason: Reason | None, answer: InviteAnswer | None = None, now: bool = False
        ) -> None:
            if publish is not None:
                shown = SHOWN_AS.get(reason.code, outcome) if reason else outcome
                publish(snapshot_of_one(shown, reason, answer, is_sent_now=now))

        self._hook = hook = OmnichatHook(self.omnichat_conn_id, retry_budget=self.retry_budget)
        if self._killed:
            hook.stop()
        try:
            self.sandbox_url = hook.account.base_url if hook.account.is_on_this_machine else None
            to, message = self.private("to"), self.private("message")
            invite = hook.check_invite(to, message, self.default_region, **route_of(self))
            seconds = hook.account.repeat_seconds if self.private("link") else None
            retake = Retake(self.on_unknown == "resend", seconds)
            looks_up = self.on_unknown == "lookup" or seconds is not None
            with closing(invite_ledger(self, context, campaign)) as ledger:
                sent = send_at_most_once(
                    invite,
                    send=hook.get_conn().send_invite,
                    ledger=ledger,
                    campaign=campaign,
                    retake=retake,
                    look_up=partial(self._look_up, hook) if looks_up else None,
                )
        except InvalidInviteError as error:
            show(Outcome.INVALID, error.reason)
            raise AirflowFailException(sentences("Nothing was sent", str(error))) from None
        except IdsIgnoredError as error:  # another try would send it again
            raise AirflowFailException(str(error)) from None
        except InviteNotSentError as error:
            show(error.outcome, error.reason)
            raise
        except SendError as error:
            show(error.outcome, error.reason, error.answer)
            self._push(context, error.answer)
            is_unknown = isinstance(error, InviteUnknownError)
            if is_unknown and seconds is not None:
                raise AirflowException(paragraphs(str(error), _REPEATED_ADVICE)) from None
            advice = _UNKNOWN_ADVICE if is_unknown else None
            raise AirflowFailException(paragraphs(str(error), advice)) from None
        finally:
            hook.close()
            self._hook = None  # so that the task's attributes hold no credentials afterwards
        if sent.reason is not None:
            self.log.info("Invite to %s: %s; nothing was sent now", mask_number(invite.to), sent.reason)
        else:
            self._log_accepted(invite, sent.answer, sent.earlier)
        show(Outcome.ACCEPTED, sent.reason, sent.answer, now=not sent.earlier)
        self._push(context, sent.answer)
        answer = sent.answer.to_json()
        return {**answer, "to": mask_number(answer["to"])} if self.mask_to and answer.get("to") else answer

    def on_kill(self) -> None:
        """Begin no further attempt; a request under way may still be answered and recorded."""
        self._killed = True
        if self._hook is not None:
            self._hook.stop()

    def _look_up(self, hook: OmnichatHook, invite: Invite, doubt: Entry) -> Settlement | None:
        from airflow_provider_omnichat.campaign.engine.look_up import look_up_once

        try:
            return look_up_once(hook.get_async_conn(1), invite.to, doubt, self.retry_budget)
        except SmsLogsError as error:
            self.log.warning("%s. The invite stays in doubt", str(error).rstrip("."))
            raise

    def _push(self, context: Context, answer: InviteAnswer | None) -> None:
        if answer is None or not self.do_xcom_push:
            return
        context["ti"].xcom_push(key="messageId", value=answer.message_id)
        context["ti"].xcom_push(key="status", value=dict(answer.status.raw))

    def _log_accepted(self, invite: Invite, answer: InviteAnswer, earlier: bool) -> None:
        status = answer.status
        self.log.info(
            "Invite to %s %s: messageId %s, status %s (group %s, id %s), %s SMS",
            mask_number(invite.to),
            "was accepted by an earlier try, nothing was sent now" if earlier else "accepted",
            answer.shown_id,
            scrub(status.name or "no name"),
            status.group_id,
            status.id,
            answer.message_count,
        )


_REPEATED_ADVICE = (
    "Another try sends it again under the same id for as long as the vendor would recognise a repeat, and looks it up"
)
_UNKNOWN_ADVICE = (
    "It is not sent again by itself. See in the vendor's portal whether the SMS went out; then mark the task as"
    ' success, or, to risk a second SMS, set on_unknown="resend" and clear it; on Airflow 3.4+, keep its task state.'
)
