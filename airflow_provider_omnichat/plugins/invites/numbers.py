"""Numbers on the pages: masked, unless the setting ``[omnichat] show_numbers`` says otherwise."""

from __future__ import annotations

from collections.abc import Callable

from airflow.configuration import conf

from airflow_provider_omnichat.api.privacy import mask_number


def number_shower() -> Callable[[str | None], str]:
    """Give what shows a number on one page; the setting is read once, and None is a number that is not kept."""
    shows_all = conf.getboolean("omnichat", "show_numbers", fallback=False)

    def shown(number: str | None) -> str:
        return "" if not number else number if shows_all else mask_number(number)

    return shown
