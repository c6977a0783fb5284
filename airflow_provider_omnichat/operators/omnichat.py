"""The operators, under the name by which a DAG imports them."""

from __future__ import annotations

from airflow_provider_omnichat.operators.batch import SendInviteBatchOperator
from airflow_provider_omnichat.operators.settle import SettleInvitesOperator
from airflow_provider_omnichat.operators.single import SendInviteOperator

__all__ = ["SendInviteBatchOperator", "SendInviteOperator", "SettleInvitesOperator"]
