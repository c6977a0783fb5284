"""How invites are checked, claimed and sent at most once. Knows nothing of Airflow."""
