"""What all tasks share: from rendered arguments to a campaign, and from an outcome to Airflow's words."""
