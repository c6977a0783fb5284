"""Checks of operator arguments that are made when a DAG file is parsed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeGuard

if TYPE_CHECKING:
    from airflow_provider_omnichat.campaign.checks.send_window import SendWindow
    from airflow_provider_omnichat.campaign.ledger.frequency_cap import FrequencyCap


def seconds_of(name: str, value: object) -> float:
    """Return a number of seconds; raise ValueError for what is not one."""
    if not is_number(value) or not value >= 0:
        raise ValueError(f"{name} must be a number of seconds, 0 or more, not {value!r}")
    return float(value)


def ratio_of(name: str, value: object) -> float:
    """Return a number from 0 to 1; raise ValueError for what is not one."""
    if not is_number(value) or not 0 <= value <= 1:
        raise ValueError(f"{name} must be between 0 and 1, not {value!r}")
    return float(value)


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a value is a number; True and NaN are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def refuse_wrong_message(message: object, link_placeholder: object) -> None:
    """Raise ValueError for a text that is wrong for each row, as far as that shows before it is rendered."""
    texts = [text for text in (message, link_placeholder) if isinstance(text, str) and text.strip()]
    if len(texts) < 2 or any(mark in text for text in texts for mark in ("{{", "{%", "{#")):
        return
    from airflow_provider_omnichat.campaign.checks.text import message_template

    message_template(*texts)


def one_of(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise ValueError, naming the choices, for a value that is not one of them."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value!r}")


def window_of(hours: Any, days: Any) -> SendWindow | None:
    """Read a send window; nothing is imported for it where there is none."""
    if hours is None:
        if days is not None:
            raise ValueError('send_days needs send_window, such as ("09:00", "20:00")')
        return None
    from airflow_provider_omnichat.campaign.checks.send_window import SendWindow

    return SendWindow.of(hours, days)


def zone_of(name: str, zone: str | None) -> str | None:
    """Read a time zone; nothing is imported for it where there is none."""
    if zone is None:
        return None
    from airflow_provider_omnichat.api.errors import InvalidInviteError
    from airflow_provider_omnichat.campaign.phone.time_zones import checked_zone

    try:
        return checked_zone(zone)
    except InvalidInviteError as error:
        raise ValueError(str(error.reason._replace(field=name))) from None


def cap_of(given: object, ledger_conn_id: str | None) -> FrequencyCap | None:
    """Read a frequency cap; nothing is imported for it where there is none."""
    if given is None:
        return None
    from airflow_provider_omnichat.campaign.ledger.frequency_cap import FrequencyCap

    if ledger_conn_id is None:
        raise ValueError("max_per_recipient needs ledger_conn_id: a database that knows what people have got before")
    return FrequencyCap.of(given)
