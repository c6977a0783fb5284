"""The pages about invites; imported by Airflow's API server alone."""
