"""Row by row: what may be sent, and why the rest may not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from airflow_provider_omnichat.api.errors import InvalidInviteError
from airflow_provider_omnichat.api.identity import identity_key, identity_of
from airflow_provider_omnichat.api.models import Invite
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import Reason, ReasonCode
from airflow_provider_omnichat.campaign.checks.invite import InviteDefaults
from airflow_provider_omnichat.campaign.checks.partition import Partition
from airflow_provider_omnichat.campaign.model.field_values import key_text, value_in
from airflow_provider_omnichat.campaign.model.known_recipients import Seen
from airflow_provider_omnichat.campaign.model.names import shown_name
from airflow_provider_omnichat.campaign.model.rows import BrokenRow, Candidate, Columns, Refusal, Result, Row

_DUPLICATE = Reason(ReasonCode.DUPLICATE_IN_LIST, "the same number appears earlier in this list")


class Rule(Protocol):
    """
    One reason not to send what could be sent.

    A rule of your own is added to :attr:`Rules.own` of a plan, and refuses with :meth:`Refusal.by_rule`.
    """

    def check(self, candidate: Candidate, fields: Mapping[str, Any]) -> Candidate | Refusal:
        """
        Return a candidate that may be sent, perhaps with more known about it, or why it must not be.

        :param candidate: a row that could be sent.
        :param fields: of the row, by column name.
        :raises InvalidInviteError: the rule cannot be applied to this row, which then is ``invalid``.
        """


@dataclass(slots=True)
class RowChecker:
    """Turns rows into candidates, and remembers whom it has let through; *on_invite* gets them before the rules."""

    campaign: str
    invite: InviteDefaults
    columns: Columns
    partition: Partition | None = None
    rules: Sequence[Rule] = ()  # asked in this order, until one refuses
    on_invite: Callable[[Invite], None] | None = None
    _seen: Seen = field(default_factory=Seen, init=False)

    def checked(self, rows: Iterable[Row | BrokenRow]) -> Iterator[Candidate | Result]:
        """Check rows as they come, without those of other partitions."""
        for row in rows:
            checked = self.check(row)
            if checked is not None:
                yield checked

    def check(self, row: Row | BrokenRow) -> Candidate | Result | None:
        """Return a candidate, or how the row ended; None for a row of another partition."""
        if isinstance(row, BrokenRow):
            return self._invalid(row.position, None, None, row.reason)
        fields, columns = row.fields, self.columns
        to = value_in(fields, columns.to)
        own_key, country = value_in(fields, columns.key), value_in(fields, columns.region)
        key = None if own_key is None else key_text(own_key) or None
        try:
            invite = self.invite.invite(to, fields, None if country is None else str(country))
        except InvalidInviteError as error:
            reason = error.reason
            if reason.field == "to" and columns.to not in fields:
                reason = Reason(ReasonCode.NO_NUMBER, f"the row has no field {shown_name(columns.to)}", field="to")
            elif reason.field == "default_region" and columns.region:
                reason = reason._replace(field=columns.region)
            return self._invalid(row.position, key, to, reason)
        identity = identity_of(invite.to)
        if self.partition is not None and not self.partition.has(identity):
            return None
        recipient = identity_key(self.campaign, identity)
        if not self._seen.add(recipient):
            return Result.unsent(row.position, key, invite.to, Outcome.DUPLICATE, _DUPLICATE)
        if self.on_invite is not None:
            self.on_invite(invite)
        return self._ask_rules(Candidate(row.position, key, invite, recipient, identity), fields)

    def _ask_rules(self, candidate: Candidate, fields: Mapping[str, Any]) -> Candidate | Result:
        for rule in self.rules:
            try:
                answer = rule.check(candidate, fields)
            except InvalidInviteError as error:
                answer = Refusal(Outcome.INVALID, error.reason)
            if isinstance(answer, Refusal):
                return candidate.unsent(answer.outcome, answer.reason)
            candidate = answer
        return candidate

    def _invalid(self, position: int, key: str | None, to: object, reason: Reason) -> Result | None:
        if self.partition is not None and not self.partition.has_row(position):
            return None
        return Result.unsent(position, key, "" if to is None else key_text(to)[:64], Outcome.INVALID, reason)
