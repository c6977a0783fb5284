"""What is said of a number that is refused."""

from __future__ import annotations

import pytest

from airflow_provider_omnichat.api.errors import InvalidInviteError
from airflow_provider_omnichat.campaign.phone.number import normalise_number


def refused(number: object, default_region: str | None = None, country: str | None = None) -> str:
    with pytest.raises(InvalidInviteError) as raised:
        normalise_number(number, default_region, country)
    return str(raised.value)
