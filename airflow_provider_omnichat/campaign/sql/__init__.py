"""A session with a database, and what its drivers raise."""
