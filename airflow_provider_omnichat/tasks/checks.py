"""From the arguments of an operator to the gate that its rows go through."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_omnichat.campaign.checks.message_template import MessageTemplate
from airflow_provider_omnichat.campaign.checks.opt_outs import Suppression, SuppressionError, numbers_in
from airflow_provider_omnichat.campaign.checks.partition import Partition
from airflow_provider_omnichat.campaign.checks.row_checker import RowChecker, Rule
from airflow_provider_omnichat.campaign.checks.send_window_rule import WindowRule
from airflow_provider_omnichat.campaign.engine.measuring import ListMeasure, measure_list
from airflow_provider_omnichat.campaign.model.rows import BrokenRow, Row
from airflow_provider_omnichat.campaign.phone.number import checked_region
from airflow_provider_omnichat.campaign.rows.files import rows_of_file
from airflow_provider_omnichat.campaign.rows.lists import is_frame, rows_of_dict
from airflow_provider_omnichat.tasks.given_files import file_given, told_all

if TYPE_CHECKING:
    from airflow_provider_omnichat.api.models import Invite
    from airflow_provider_omnichat.campaign.checks.send_window import SendWindow
    from airflow_provider_omnichat.hooks.omnichat import OmnichatHook


class ChecksArguments(Protocol):
    """What is used of an operator's arguments."""

    link_placeholder: str
    application_key: str | None
    integration_type: str | None
    default_region: str | None
    to_column: str
    region_column: str | None
    key_column: str | None
    time_zone_column: str | None
    default_time_zone: str | None
    send_window: SendWindow | None
    partition: Any

    def private(self, name: str) -> Any:
        """Give the true value of a private field."""

    @property
    def log(self) -> Any:
        """Of the task; its type differs between the generations of Airflow."""


class RowCheckerFactory:
    """
    Makes gates that all check alike: one to send through, and one to look at the list before.

    The opt-out list is read once, when this is made.

    :param operator: whose arguments say what is let through.
    :param hook: of its connection.
    :param campaign: the campaign's name.
    :raises ValueError: an argument, the connection or the opt-out list cannot be used; the text says which, and what to
        do.
    """

    def __init__(self, operator: ChecksArguments, hook: OmnichatHook, campaign: str) -> None:
        checked_region(operator.default_region)
        message = operator.private("message")
        account = hook.account
        self._operator = operator
        self._fields: dict[str, Any] = {
            "campaign": campaign,
            "template": MessageTemplate(message) if message else None,
            "link_placeholder": operator.link_placeholder,
            "application_key": operator.application_key or account.application_key,
            "integration_type": operator.integration_type or account.integration_type,
            "default_region": operator.default_region,
            "to_column": operator.to_column,
            "region_column": operator.region_column,
            "key_column": operator.key_column,
        }
        self._partition = Partition.of(operator.partition)
        self._suppression = self._read_suppression()

    def gate(self, on_invite: Callable[[Invite], None] | None = None) -> RowChecker:
        """
        Make a gate.

        :param on_invite: called with each invite that could be sent, before the rules.
        """
        rules: list[Rule] = [rule for rule in (self._suppression, self._window()) if rule is not None]
        return RowChecker(**self._fields, partition=self._partition, rules=rules, on_invite=on_invite)

    def survey(self, rows: Iterable[Row | BrokenRow]) -> ListMeasure:
        """
        Look at the whole list, also where this task takes only a part of it: budgets and approvals are of the whole.

        :param rows: of it.
        """
        rules = [self._suppression] if self._suppression else []
        return measure_list(lambda on_invite: RowChecker(**self._fields, rules=rules, on_invite=on_invite), rows)

    def _window(self) -> WindowRule | None:
        operator = self._operator
        if operator.send_window is None:
            return None
        return WindowRule(
            operator.send_window,
            zone_column=operator.time_zone_column,
            default_zone=operator.default_time_zone,
        )

    def _read_suppression(self) -> Suppression | None:
        operator = self._operator
        given = operator.private("suppression")
        if given is None:
            return None
        numbers = numbers_in(_opt_outs(given), operator.to_column, operator.region_column)
        suppression = Suppression(numbers, operator.default_region)
        ignored = f", {suppression.ignored} entries are nobody's number" if suppression.ignored else ""
        operator.log.info("Opt-out list: %s numbers%s", len(suppression), ignored)
        return suppression


def _opt_outs(given: Any) -> Iterator[object]:
    """Give the entries of an opt-out list: of a list, of the file at an address, or of a query."""
    if isinstance(given, Mapping):
        if not {"conn_id", "sql", "parameters"} & set(given):
            given = rows_of_dict(given, "suppression")
        else:
            yield from _opt_outs_of_query(given)
            return
    file = file_given(given, "suppression")
    if file is not None:
        yield from told_all(rows_of_file(file.open, file.name), file.hidden)
        return
    if is_frame(given) or isinstance(given, bytes | bytearray) or not isinstance(given, Iterable):
        raise SuppressionError(
            "suppression: must be a list of numbers, the address of a file or a query, is a"
            f" {type(given).__name__}; of a data frame, give the column as a list"
        )
    entries = told_all(_flat(given))
    for position, entry in enumerate(entries, 1):
        yield Row(position, entry) if isinstance(entry, Mapping) else entry


def _opt_outs_of_query(given: Mapping[str, Any]) -> Iterator[Row]:
    if not {"conn_id", "sql"} <= set(given) <= {"conn_id", "sql", "parameters"}:
        raise SuppressionError("suppression: a query must be given as {'conn_id': ..., 'sql': ...}")
    from airflow_provider_omnichat.hooks.sql_rows import rows_of_query

    found = rows_of_query(given["conn_id"], given["sql"], given.get("parameters"))
    return (Row(position, fields) for position, fields in enumerate(found, 1))


def _flat(entries: Iterable[Any]) -> Iterator[object]:
    """Give what stands in lists in a list, as where each of several mapped tasks gives one; None is no entry."""
    for entry in entries:
        for each in entry if isinstance(entry, list | tuple) else (entry,):
            yield "" if each is None else each
