"""Which rows a page asks for, and the address of that."""

from __future__ import annotations

from inspect import signature
from typing import Any
from urllib.parse import parse_qs

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient

from airflow_provider_omnichat.campaign.model.pages import PageQuery
from airflow_provider_omnichat.plugins.invites.rows import ROWS_A_PAGE, RowsWanted


@pytest.fixture(scope="module")
def client() -> TestClient:
    app = FastAPI()

    def rows(wanted: RowsWanted = Depends()) -> Any:  # noqa: B008 - as FastAPI has it
        return {"query": wanted.query()._asdict(), "address": wanted.address()}

    app.add_api_route("/rows", rows)
    return TestClient(app)


def test_nothing_chosen_is_the_first_page_of_all() -> None:
    assert RowsWanted().query() == PageQuery(size=ROWS_A_PAGE)
    assert RowsWanted().address() == ""


CHOICES = [
    RowsWanted(outcome="rejected", reason="http_rejected", status="REJECTED_DND"),
    RowsWanted(q="list"),
    RowsWanted(status="list", order="key", desc=True),
    RowsWanted(q='a&b=c#d %"><script>é+', order="time"),
    RowsWanted(outcome="unknown", q="1"),
]


@pytest.mark.parametrize("wanted", CHOICES, ids=str)
def test_the_address_says_what_was_chosen(client: TestClient, wanted: RowsWanted) -> None:
    address = wanted.address()
    assert not set(address) & set("<>\"' #")
    answer = client.get(f"/rows?x=1{address}").json()
    assert PageQuery(**answer["query"]) == wanted.query()
    assert answer["address"] == address


def test_a_change_begins_at_the_first_row() -> None:
    wanted = RowsWanted(outcome="rejected", reason="http_rejected", q="c1", after="sent-1.jsonl:77")
    assert parse_qs(wanted.address()) == {"outcome": ["rejected"], "reason": ["http_rejected"], "q": ["c1"]}
    assert parse_qs(wanted.address(outcome="", reason="")) == {"q": ["c1"]}
    assert parse_qs(wanted.address(after="a:9"))["after"] == ["a:9"]
    assert parse_qs(wanted.address(order="key", desc=True)).keys() == {"outcome", "reason", "q", "order", "desc"}
    assert parse_qs(RowsWanted(order="key", desc=True).address(order="list", desc=False)) == {}


def test_annotations_are_no_texts_which_older_fastapi_cannot_read_of_a_class() -> None:
    assert not [name for name, each in signature(RowsWanted).parameters.items() if isinstance(each.annotation, str)]


def test_blanks_around_a_search_are_none() -> None:
    assert RowsWanted(q="  c1 ").query().search == "c1"
    assert RowsWanted(q="   ").query().search is None


@pytest.mark.parametrize(
    "address",
    ["order=number", "order=list;drop", "q=" + "x" * 201, "after=" + "x" * 301, "outcome=" + "x" * 21, "desc=perhaps"],
)
def test_what_no_page_links_to_is_refused(client: TestClient, address: str) -> None:
    assert client.get(f"/rows?{address}").status_code == 422
