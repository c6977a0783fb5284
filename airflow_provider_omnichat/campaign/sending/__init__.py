"""Claimed invites, on their way to the vendor."""
