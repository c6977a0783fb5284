"""The vendor's wire: what is sent, what comes back and what it means. Knows nothing of Airflow."""
