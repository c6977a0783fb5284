"""``@task.omnichat_invite``: a function returns the rows, the task sends to them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import (
    SET_DURING_EXECUTION,
    DecoratedOperator,
    TaskDecorator,
    context_merge,
    determine_kwargs,
    task_decorator_factory,
)

from airflow_provider_omnichat.api.privacy import describe_list
from airflow_provider_omnichat.operators.batch import SendInviteBatchOperator
from airflow_provider_omnichat.tasks.fields import Field, Kind, table, templated
from airflow_provider_omnichat.tasks.given_files import guarded

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_omnichat.campaign.model.rows import RowSource


def _shown_arguments(given: Any) -> Any:
    """Describe the arguments of a function without showing them: one may be the list."""
    if isinstance(given, Mapping):
        return {name: describe_list(value) for name, value in given.items()}
    return [describe_list(value) for value in given]


class _InviteDecoratedOperator(SendInviteBatchOperator, DecoratedOperator):
    """
    Sends to the rows that a function returns.

    :param python_callable: returns a list of dicts, an iterator of them or of pages of them (it streams), or the
        address or path of a file. They are data: not templated, and kept out of XCom and Airflow's pages.
    :param op_args: of the function. (templated; shown by type)
    :param op_kwargs: of the function. (templated; shown by type)
    """

    custom_operator_name = "@task.omnichat_invite"
    argument_fields: ClassVar = {
        **table(*(Field(name, Kind.CALL, shown=_shown_arguments) for name in DecoratedOperator.template_fields)),
        **SendInviteBatchOperator.argument_fields,
        **table(Field("invites", Kind.VALUE, templated=False, shown=describe_list)),
    }
    template_fields: Sequence[str] = templated(argument_fields)

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            python_callable=python_callable,
            op_args=op_args,
            op_kwargs=op_kwargs,
            invites=SET_DURING_EXECUTION,
            **kwargs,
        )

    def row_source(self, context: Context) -> RowSource:
        """Call the function, and return its rows."""
        op_args, op_kwargs = self.private("op_args"), self.private("op_kwargs")
        merged: Any = context
        context_merge(merged, op_kwargs)
        given = determine_kwargs(self.python_callable, op_args, merged)
        self.set_private("invites", guarded(lambda: self.python_callable(*op_args, **given)))
        return super().row_source(context)


def omnichat_invite_task(python_callable: Callable[..., Any] | None = None, **kwargs: Any) -> TaskDecorator:
    """
    Make a task that sends an invite to each row that the function returns.

    :param python_callable: the function; see
        :class:`~airflow_provider_omnichat.operators.batch.SendInviteBatchOperator` for its rows.
    :param kwargs: the operator's other parameters.
    """
    return task_decorator_factory(
        python_callable=python_callable, decorated_operator_class=_InviteDecoratedOperator, **kwargs
    )
