"""Airflow provider that sends SMS invites: at most one to each person, exactly one outcome for each row."""

__version__ = "0.1.0"
