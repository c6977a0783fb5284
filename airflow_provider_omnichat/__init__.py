"""Airflow provider for invites over the omnichat API: at most one SMS a person, exactly one outcome a row."""

__version__ = "0.1.0"
