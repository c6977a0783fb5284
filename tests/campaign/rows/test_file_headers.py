"""Files that are not what they look like."""

from __future__ import annotations

import io

import pytest

from airflow_provider_omnichat.campaign.model.rows import RowSourceError
from airflow_provider_omnichat.campaign.rows.files import rows_of_file


@pytest.mark.parametrize(
    "first",
    [
        "'+41793026727",
        "tel:+41793026727",
        "+41 79\u2013302\u201367\u201327",
        "+4179\u200b3026727",
        "\uff0b41793026727",
        "4.18E+10",
    ],
)
def test_a_first_line_that_is_a_number_in_any_writing_is_no_header(first):
    with pytest.raises(RowSourceError, match="the first line must name the columns"):
        list(rows_of_file(lambda: io.BytesIO(f"{first}\n+41793026728\n".encode()), "o.csv"))
