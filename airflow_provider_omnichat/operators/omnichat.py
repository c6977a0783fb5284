"""The operators, and what some of their arguments are made of, under the names by which a DAG imports them."""

from __future__ import annotations

from airflow_provider_omnichat.campaign.checks.send_window import SendWindow
from airflow_provider_omnichat.campaign.preview.budget import Budget
from airflow_provider_omnichat.operators.batch import SendInviteBatchOperator
from airflow_provider_omnichat.operators.settle import SettleInvitesOperator
from airflow_provider_omnichat.operators.single import SendInviteOperator

__all__ = ["Budget", "SendInviteBatchOperator", "SendInviteOperator", "SendWindow", "SettleInvitesOperator"]
