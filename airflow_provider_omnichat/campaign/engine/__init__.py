"""Puts the stages together: one campaign, from its rows to its outcomes."""
