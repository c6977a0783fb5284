from __future__ import annotations

from types import MappingProxyType

import pytest

from airflow_provider_omnichat.campaign.model.rows import Row, RowSourceError
from airflow_provider_omnichat.campaign.rows.lists import rows_of_list


def test_a_list_of_mappings_gives_its_rows():
    items = [{"to": "1"}, MappingProxyType({"to": "2"})]
    assert list(rows_of_list(items)) == [Row(1, items[0]), Row(2, items[1])]
    assert list(rows_of_list(iter(items))) == list(rows_of_list(items))
    assert list(rows_of_list([])) == []


@pytest.mark.parametrize("items", ["41793026727", b"x", {"to": "41793026727"}, None, 5])
def test_what_is_no_list_is_refused_at_once(items):
    with pytest.raises(
        RowSourceError, match=rf"invites: must be a list of dicts, is a {type(items).__name__}"
    ) as error:
        rows_of_list(items)
    assert "41793026727" not in str(error.value)


def test_a_list_with_one_wrong_item_is_refused_before_its_first_row():
    with pytest.raises(RowSourceError, match="item 3 must be a dict, is a str"):
        rows_of_list([{"to": "1"}, {"to": "2"}, "41793026727"])


def test_an_iterable_with_a_wrong_item_is_refused_there():
    rows = rows_of_list(iter([{"to": "1"}, ["41793026727"]]))
    assert next(rows).position == 1
    with pytest.raises(RowSourceError, match="invites: item 2 is a list, and item 1 in it must be a dict, is a str"):
        next(rows)
