"""Sends claimed invites, at a pace that the vendor accepts."""
