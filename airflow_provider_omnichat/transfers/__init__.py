"""From a database to invites, and back."""
