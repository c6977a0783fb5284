"""Numbers on the pages: masked, unless the setting ``[omnichat] show_numbers`` says otherwise."""

from __future__ import annotations

from airflow.configuration import conf

from airflow_provider_omnichat.api.privacy import mask_number


def shown_number(number: str | None) -> str:
    """
    Give a number as a page shows it.

    :param number: the whole one; None where it is not kept.
    """
    if not number:
        return ""
    return number if conf.getboolean("omnichat", "show_numbers", fallback=False) else mask_number(number)
