"""Triggers of the provider: they only read."""
