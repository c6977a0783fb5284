"""Reasons for tests to which it does not matter which one it is."""

from __future__ import annotations

from airflow_provider_omnichat.api.reasons import Reason, ReasonCode


def why(text: str, code: ReasonCode = ReasonCode.READ_TIMEOUT) -> Reason:
    """Return a reason with a sentence."""
    return Reason(code, text)
