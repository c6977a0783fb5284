"""The operator that sends invites to the people in the result of a query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_omnichat.api.privacy import describe_list, mask_numbers
from airflow_provider_omnichat.campaign.rows.columns import Need
from airflow_provider_omnichat.operators.omnichat import SendInviteBatchOperator
from airflow_provider_omnichat.tasks.fields import Field, Kind, table, templated

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_omnichat.campaign.model.rows import RowSource


class SqlToOmnichatInviteOperator(SendInviteBatchOperator):
    """
    Send SMS invites to the people in the result of a query: each at most once, each row to exactly one outcome.

    See :class:`~airflow_provider_omnichat.operators.batch.SendInviteBatchOperator` for the other parameters. Each try
    runs the query. Its rows, of the columns that are needed, are first set aside in an unnamed file on the worker's
    disk, so that neither memory nor a cursor is held while they are sent.

    Column names are taken as they are, or, if there is no such column, without regard to capitals.

    :param sql: one query, or the name of a ``.sql`` file. (templated; shown with numbers masked)
    :param conn_id: a connection of any type that Airflow has an SQL hook (``DbApiHook``) for. (templated)
    :param parameters: of the query, in the style of the database's driver: a list for ``%s`` or ``?``, a dict for
        ``%(name)s`` or ``:name``. (templated; not shown)
    :param to_column: the column that holds the number.
    :param message_column: a column that holds a row's own text, which is sent as it is; where it is empty, *message* is
        sent. So are columns ``message`` (without *message_column*) and ``link_placeholder``.
    :param message: the text for rows without their own; ``{first_name}`` takes that column. (templated; not shown)
    :param key_column: the column that names a row in results and errors, such as ``customer_id``; not a personal one.
    :param results_table: a table to which one row is written for each row of the list, in blocks, complete before an
        error is raised; ``table``, ``schema.table`` or ``database.schema.table``, made if missing. All tries together
        leave each row once. Not with *results_path*. (templated)
    :param results_conn_id: the connection of that table; *conn_id* if None. (templated)
    :raises ValueError: when the DAG is parsed: *results_table* with *results_path*, or *results_conn_id* without it.
    :raises SqlQueryError: the query cannot be run or read to its end; nothing was sent.
    :raises SpoolError: the rows cannot be set aside; nothing was sent.
    :raises AirflowFailException: the query does not give a list, or lacks a column; nothing was sent.
    """

    argument_fields: ClassVar = {
        **table(
            Field("sql", Kind.TEXT, shown=mask_numbers),
            "conn_id",
            Field("parameters", Kind.VALUE, shown=partial(describe_list, of="values")),
            "results_table",
            "results_conn_id",
            Field("message_column", templated=False),
        ),
        **{name: field for name, field in SendInviteBatchOperator.argument_fields.items() if name != "invites"},
    }
    template_fields: Sequence[str] = templated(argument_fields)
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers: ClassVar = {"sql": "sql"}
    ui_color = "#ffe3d3"

    def __init__(
        self,
        *,
        sql: str,
        conn_id: str,
        parameters: Sequence[Any] | Mapping[str, Any] | None = None,
        message_column: str | None = None,
        results_table: str | None = None,
        results_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(invites=None, **kwargs)
        self.sql = sql
        self.conn_id = conn_id
        self.parameters = parameters
        self.message_column = message_column
        self.results_table = results_table
        self.results_conn_id = results_conn_id
        self.refuse_non_texts()
        if results_table and self.results_path:
            raise ValueError("results go to results_table or to results_path, not to both; give one of them")
        if results_conn_id and not results_table:
            raise ValueError("results_conn_id needs results_table, the table that the results go to")

    def row_source(self, context: Context) -> RowSource:
        """Return the rows of the query."""
        from airflow_provider_omnichat.tasks.row_sources import QueryRows

        own = [Need("message", self.message_column, "message_column")] if self.message_column else []
        columns = self.row_columns(*own)
        return QueryRows(self.conn_id, self.private("sql"), self.private("parameters"), columns, self.log)
