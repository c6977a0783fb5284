"""Connects the stages: one campaign, from its rows to its outcomes."""
