"""The outbox as JSON, the faults over HTTP, the page, and who may reach them."""

import json
import re
from html import escape, unescape

import pytest
import requests

from airflow_provider_omnichat.sandbox import Sandbox, Settings
from airflow_provider_omnichat.sandbox.page import MOST_ROWS
from tests.support.patience import PATIENCE_SECONDS


def call(sandbox, method, path, **options):
    return requests.request(method, sandbox.url + path, timeout=PATIENCE_SECONDS, allow_redirects=False, **options)


def test_outbox_is_newest_first_with_whole_numbers_and_totals(sandbox, post):
    post(sandbox)
    sandbox.script("429", "drop-before")
    post(sandbox, changed={"to": "41793026728"})
    with pytest.raises(requests.ConnectionError):
        post(sandbox)
    post(sandbox)

    answer = call(sandbox, "GET", "/__outbox").json()
    assert [invite["sequence"] for invite in answer["invites"]] == [4, 3, 2, 1]
    assert answer["invites"][0]["to"] == "41793026727"
    assert answer["totals"] == {
        "requests": 4,
        "accepted": 2,
        "numbers_sent_twice": 1,
        "same_message_twice": 1,
        "several_messages": 0,
        "suppressed": 0,
        "by_status": {"PENDING_ENROUTE": 2},
        "by_http_status": {"200": 2, "429": 1, "none": 1},
        "by_fault": {"429": 1, "drop-before": 1},
    }
    assert len(call(sandbox, "GET", "/__outbox?limit=1").json()["invites"]) == 1
    assert call(sandbox, "GET", "/__outbox?limit=x").status_code == 400


def test_two_campaigns_for_one_number_are_no_fault_and_the_same_message_again_is(sandbox, post):
    def counts() -> tuple[int, int, int]:
        totals = sandbox.totals
        return totals.numbers_sent_twice, totals.same_message_twice, totals.several_messages

    post(sandbox)
    post(sandbox, changed={"message": "Another campaign: <link>"})
    assert counts() == (1, 0, 1)
    post(sandbox, changed={"to": "41793026728"})
    assert counts() == (1, 0, 1)
    post(sandbox, changed={"to": "41793026728", "message": "Hello ##", "linkPlaceholder": "##"})
    assert counts() == (2, 0, 2)
    post(sandbox, changed={"message": "Another campaign: <link>"})
    assert counts() == (2, 1, 2)
    sandbox.script("rejected:10")
    post(sandbox)
    assert counts() == (2, 1, 2), "what is not accepted is nobody's SMS"


@pytest.mark.parametrize(("method", "path"), [("DELETE", "/__outbox"), ("POST", "/__outbox/clear")])
def test_outbox_can_be_cleared(sandbox, post, method, path):
    post(sandbox)

    assert call(sandbox, method, path).status_code == 204
    assert sandbox.outbox == []
    assert sandbox.totals.requests == sandbox.requests_seen == 0
    post(sandbox)
    assert sandbox.outbox[0].sequence == 1


def test_outbox_keeps_the_newest_and_counts_all(post):
    with Sandbox(settings=Settings(keep=2)) as sandbox:
        for _ in range(5):
            post(sandbox)
        assert [receipt.sequence for receipt in sandbox.outbox] == [4, 5]
        assert (sandbox.totals.requests, sandbox.totals.accepted) == (5, 5)


def test_faults_and_script_are_set_over_http(sandbox, post):
    body = {"faults": {"503": 1.0}, "script": ["ok", "429-retry-after:3"], "seed": 5}
    answer = call(sandbox, "POST", "/__faults", json=body).json()

    assert answer == {
        "faults": [{"name": "503", "rate": 1.0, "arg": None}],
        "script": ["ok", "429-retry-after:3"],
        "seed": 5,
    }
    assert [post(sandbox).status_code for _ in range(4)] == [200, 429, 503, 503]
    listed = call(sandbox, "GET", "/__faults").json()
    assert listed["script"] == []
    assert {"name": "500-after", "does": "500, after the invite is taken", "accepted": True, "argument": None} in (
        listed["known"]
    )


@pytest.mark.parametrize(
    "body",
    [
        [],
        {"fault": {}},
        {"faults": "429"},
        {"faults": {"nope": 1}},
        {"faults": {"429": "x"}},
        {"script": "429"},
        {"script": ["nope"], "faults": {"503": 1}},
        {"seed": "one"},
    ],
)
def test_faults_that_cannot_be_set_change_nothing(sandbox, body):
    sandbox.set_faults({"429": 0.5})

    response = call(sandbox, "POST", "/__faults", json=body)
    assert response.status_code == 400
    assert response.json()["error"]
    state = call(sandbox, "GET", "/__faults").json()
    assert (state["faults"][0]["name"], state["script"], state["seed"]) == ("429", [], 1)


CONTROL = [
    ("GET", "/"),
    ("GET", "/__outbox"),
    ("DELETE", "/__outbox"),
    ("POST", "/__outbox/clear"),
    ("POST", "/__faults"),
]


@pytest.mark.parametrize(("method", "path"), CONTROL)
def test_control_under_a_foreign_host_name_is_refused(sandbox, method, path):
    for host in ("evil.example", "127.0.0.1.evil.example:80", "localhost.evil.example"):
        assert call(sandbox, method, path, headers={"Host": host}).status_code == 403


@pytest.mark.parametrize(("method", "path"), CONTROL)
def test_control_from_a_foreign_origin_is_refused(sandbox, method, path):
    for origin in ("http://evil.example", "null", f"http://127.0.0.1:{sandbox.port + 1}"):
        assert call(sandbox, method, path, headers={"Origin": origin}).status_code == 403


def test_control_from_its_own_page_is_taken(sandbox, post):
    post(sandbox)
    response = call(sandbox, "POST", "/__outbox/clear", headers={"Origin": sandbox.url, "Accept": "text/html,*/*"})
    assert (response.status_code, response.headers["Location"]) == (303, "/")
    assert sandbox.outbox == []


@pytest.mark.parametrize("host", ["localhost:8085", "LOCALHOST", "127.0.0.1", "127.1.2.3:80", "[::1]:8085"])
def test_control_under_each_loopback_name_is_taken(sandbox, host):
    assert call(sandbox, "GET", "/__outbox", headers={"Host": host}).status_code == 200


def test_foreign_host_name_is_taken_only_where_remote_is_allowed():
    with Sandbox(settings=Settings(allow_remote=True)) as sandbox:
        assert call(sandbox, "GET", "/__outbox", headers={"Host": "sandbox.example"}).status_code == 200


def page(sandbox):
    response = call(sandbox, "GET", "/")
    assert response.status_code == 200
    return response


def test_page_escapes_what_clients_send(sandbox, post):
    attack = "<script>alert(1)</script>\"'&"
    post(sandbox, changed={"message": attack})
    post(sandbox, changed={"to": "<img src=x onerror=alert(1)>"})
    post(sandbox, url=sandbox.invite_url("<b>x"))

    html = page(sandbox).text
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#x27;&amp;" in html
    assert "<img" not in html
    assert "<b>x" not in html


def test_page_masks_numbers(sandbox, post):
    post(sandbox)
    post(sandbox, changed={"to": "1234567"})

    html = page(sandbox).text
    assert "41793****27" in html
    assert "41793026727" not in html
    assert "1234567" not in html


def test_page_shows_what_the_vendor_holds_beside_what_the_client_got(sandbox, post):
    sandbox.script("500-after", "rejected:12")
    post(sandbox)
    post(sandbox)

    refused, taken = re.findall(r"<tr id.*?</tr>", page(sandbox).text)
    assert "REJECTED_NOT_ENOUGH_CREDITS" in refused
    assert "PENDING_ENROUTE" in taken
    assert "HTTP 500" in taken
    assert "500-after" in taken
    assert sandbox.outbox[0].message_id in taken


def test_page_names_the_faults_that_are_set(sandbox):
    sandbox.set_faults(["429-retry-after:0.25:3"], seed=9)
    sandbox.script("drop-after")

    html = page(sandbox).text
    assert "<b>429-retry-after</b> 25% · 3" in html
    assert "<b>next</b> drop-after" in html
    assert "seed 9" in html


def rows(html):
    return re.findall(r'<tr id="r(\d+)"', html)


def test_page_is_searched_and_paged_to_the_oldest_row(sandbox, post):
    sandbox.script("rejected:12", "500-before")
    post(sandbox, changed={"to": "41793000001"})
    post(sandbox, changed={"message": "Hi <b>you</b> & <link>"})
    for _ in range(MOST_ROWS):
        post(sandbox)
    first = page(sandbox).text
    assert rows(first) == [str(each) for each in range(MOST_ROWS + 2, 2, -1)]
    (older,) = re.findall(r'<a href="([^"]*)">Older</a>', first)
    second = call(sandbox, "GET", unescape(older)).text
    assert rows(second) == ["2", "1"]
    assert "Older" not in second
    assert "Newest" in second

    for search, found in {
        "+41793000001": ["1"],
        "CREDITS": ["1"],
        "b>you": ["2"],
        "500-before": ["2"],
        "nowhere": [],
    }.items():
        html = call(sandbox, "GET", "/", params={"q": search}).text
        assert rows(html) == found, search
        assert ("No row matches" in html) == (not found)
        assert f'value="{escape(search)}"' in html
        assert rows(call(sandbox, "GET", "/", params={"q": search, "live": ""}).text) == found


def test_page_shows_what_became_of_an_accepted_invite(sandbox, post):
    sandbox.set_delivery({"undeliverable": 1.0}, after=(0.0, 0.0))
    post(sandbox)
    assert "UNDELIVERABLE_NOT_DELIVERED" in page(sandbox).text
    sandbox.set_delivery({"not-seen": 1.0}, after=(0.0, 0.0))
    assert "not in the logs" in page(sandbox).text
    sandbox.set_delivery({}, after=(0.0, 0.0))
    assert "DELIVERED_TO_HANDSET" in page(sandbox).text


def test_page_asks_before_it_clears(sandbox):
    html = page(sandbox).text
    assert 'id="clear"' in html
    assert "confirm(" in html


def test_page_renews_only_its_changing_part(sandbox, post):
    post(sandbox)
    live = call(sandbox, "GET", "/?live").text
    assert "<html" not in live
    assert live in page(sandbox).text


def test_empty_page_tells_how_to_send_the_first_invite(sandbox):
    html = page(sandbox).text
    assert f"curl -u {sandbox.credentials.user}:" in html
    assert sandbox.invite_url() in html


def test_empty_page_hides_the_password_where_others_can_read_it():
    with Sandbox(settings=Settings(allow_remote=True)) as sandbox:
        assert sandbox.credentials.password not in page(sandbox).text


def test_page_runs_no_script_but_its_own_and_loads_nothing(sandbox):
    response = page(sandbox)
    policy = response.headers["Content-Security-Policy"]
    (nonce,) = set(re.findall(r"'nonce-([^']+)'", policy))
    assert "default-src 'none'" in policy
    assert set(re.findall(r"<(?:script|style) nonce=\"([^\"]+)\"", response.text)) == {nonce}
    assert not re.findall(r"(?:src|href)=\"https?:", response.text)


def test_outbox_file_has_a_line_for_each_request(post, tmp_path):
    file = tmp_path / "outbox.jsonl"
    with Sandbox(settings=Settings(outbox_file=file)) as sandbox:
        sandbox.script("ok", "429")
        post(sandbox)
        post(sandbox)
        lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(line["to"], line["accepted"]) for line in lines] == [("41793026727", True), ("41793026727", False)]
    assert file.stat().st_mode & 0o777 == 0o600
