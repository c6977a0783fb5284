"""A local stand-in for the vendor's API: it answers like the vendor, sends no SMS, and fails on demand."""

from airflow_provider_omnichat.sandbox.outbox import Receipt, Totals
from airflow_provider_omnichat.sandbox.server import Sandbox
from airflow_provider_omnichat.sandbox.settings import Credentials, Settings
from airflow_provider_omnichat.sandbox.statuses import Status

__all__ = ["Credentials", "Receipt", "Sandbox", "Settings", "Status", "Totals"]
