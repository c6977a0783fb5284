"""Each fault, as a client meets it, and whether the vendor took the invite all the same."""

import time
from email.utils import parsedate_to_datetime

import pytest
import requests

from airflow_provider_omnichat.sandbox import Sandbox
from airflow_provider_omnichat.sandbox.fault_plan import FaultError
from airflow_provider_omnichat.sandbox.faults import FAULTS
from tests.support.patience import PATIENCE_SECONDS, wait_until

ANSWERED = {
    "429": (429, False),
    "429-retry-after": (429, False),
    "429-retry-after-date": (429, False),
    "503": (503, False),
    "503-retry-after": (503, False),
    "500-before": (500, False),
    "500-after": (500, True),
    "html": (502, False),
    "html-200": (200, True),
    "garbage-200": (200, True),
    "rejected": (200, False),
    "unknown-status": (200, True),
    "400": (400, False),
    "401": (401, False),
    "403": (403, False),
    "404": (404, False),
    "new-error": (400, False),
    "redirect": (307, False),
    "latency:0.01": (200, True),
    "slow-body:0.0001": (200, True),
}
BROKEN = {"drop-before": False, "drop-after": True, "truncated": True}
HANGING = {"hang-before": False, "hang-after": True}
SHORT = (PATIENCE_SECONDS, 0.2)
"""Time-outs of a client that connects in any case, and then gives up soon."""


@pytest.fixture(params=["invite", "SMS"])
def send(request, post, post_sms):
    return post if request.param == "invite" else post_sms


def test_every_fault_is_tried_here():
    assert {spec.partition(":")[0] for spec in ANSWERED} | BROKEN.keys() | HANGING.keys() == FAULTS.keys()


@pytest.mark.parametrize("spec", ANSWERED)
def test_fault_is_answered_with_its_status(sandbox, send, spec):
    code, accepted = ANSWERED[spec]
    sandbox.script(spec)

    assert send(sandbox).status_code == code
    (receipt,) = sandbox.outbox
    assert (receipt.accepted, receipt.http_status) == (accepted, code)
    assert receipt.fault == spec.partition(":")[0]
    assert (receipt.message_id is not None) is (receipt.status is not None)
    assert send(sandbox).status_code == 200


@pytest.mark.parametrize("name", BROKEN)
def test_connection_breaks(sandbox, send, name):
    sandbox.script(name)

    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        send(sandbox)
    assert sandbox.outbox[0].accepted is BROKEN[name]
    assert send(sandbox).status_code == 200


@pytest.mark.parametrize("name", HANGING)
def test_answer_never_comes(sandbox, send, name):
    sandbox.script(name)

    with pytest.raises(requests.ReadTimeout):
        send(sandbox, timeout=SHORT)
    wait_until(lambda: sandbox.outbox)
    assert sandbox.outbox[0].accepted is HANGING[name]
    assert sandbox.outbox[0].http_status is None
    assert sandbox.requests_seen == 1


def test_truncated_body_announces_all_and_sends_half(sandbox, post):
    sandbox.script("truncated")

    response = post(sandbox, stream=True)
    with pytest.raises(requests.exceptions.ChunkedEncodingError) as broken:
        _ = response.content
    announced = int(response.headers["Content-Length"])
    assert f"{announced // 2} bytes read" in str(broken.value)


def test_retry_after_comes_in_seconds_as_a_date_or_not_at_all(sandbox, post):
    sandbox.script("429-retry-after:7", "503-retry-after:0.5", "429-retry-after-date:60", "429", "503")

    before = int(time.time())
    seconds, fraction, date, bare, unavailable = [post(sandbox).headers.get("Retry-After") for _ in range(5)]
    assert (seconds, fraction) == ("7", "0.5")
    assert before <= parsedate_to_datetime(date).timestamp() - 60 <= time.time()
    assert (bare, unavailable) == (None, None)


def test_latency_outlasts_a_time_out_of_an_accepted_invite(sandbox, post):
    sandbox.script("latency:86400")

    with pytest.raises(requests.ReadTimeout):
        post(sandbox, timeout=SHORT)
    wait_until(lambda: sandbox.outbox)
    assert sandbox.outbox[0].accepted


def test_slow_body_escapes_a_time_out_for_each_read(sandbox, post):
    sandbox.script("slow-body:0.02")

    begin = time.monotonic()
    response = post(sandbox, timeout=2)
    assert response.json()["status"]["id"] == 7
    assert time.monotonic() - begin > 2


@pytest.mark.parametrize(("status_id", "group"), [(4, 2), (15, 4), (12, 5), (20, 5), (87, 5)])
def test_rejection_has_the_group_of_its_id(sandbox, post, status_id, group):
    sandbox.script(f"rejected:{status_id}")

    status = post(sandbox).json()["status"]
    assert (status["id"], status["groupId"]) == (status_id, group)
    assert status["description"]


def test_unknown_status_has_a_new_group_and_new_fields(sandbox, post):
    sandbox.script("unknown-status")

    status = post(sandbox).json()["status"]
    assert status["groupId"] == 99
    assert status["details"] == {"since": "tomorrow"}


def test_bodies_that_are_no_answer(sandbox, post):
    sandbox.script("html", "html-200", "garbage-200", "new-error")

    page, good_page, garbage, new = [post(sandbox) for _ in range(4)]
    assert page.text.startswith("<!DOCTYPE html>")
    assert good_page.headers["Content-Type"].startswith("text/html")
    assert garbage.headers["Content-Type"].startswith("application/json")
    with pytest.raises(requests.JSONDecodeError):
        garbage.json()
    assert new.json()["errorCode"] == "E400"
    assert new.json()["violations"][0].keys() == {"property", "violation"}


def test_redirect_leads_elsewhere_or_back(sandbox, post):
    sandbox.script("redirect:127.0.0.1:9", "redirect")

    elsewhere, back = [post(sandbox).headers["Location"] for _ in range(2)]
    assert elsewhere.startswith("http://127.0.0.1:9/omnichat/1/")
    assert back == sandbox.invite_url()


def test_refused_request_uses_up_neither_script_nor_chance(sandbox, post):
    sandbox.script("500-after")

    assert post(sandbox, auth=("a", "b")).status_code == 401
    assert post(sandbox, changed={"message": None}).status_code == 400
    assert post(sandbox).status_code == 500


def test_accepting_fault_does_not_make_a_wrong_number_right(sandbox, post):
    sandbox.script("500-after")

    post(sandbox, changed={"to": "12"})
    assert not sandbox.outbox[0].accepted


def faults_met(seed, post, count=60):
    with Sandbox(faults=["429:0.2", "500-after:0.2", "rejected:0.2:12"], seed=seed) as sandbox:
        for _ in range(count):
            post(sandbox)
        return [receipt.fault for receipt in sandbox.outbox]


def test_same_seed_gives_the_same_faults(post):
    first = faults_met(7, post)

    assert faults_met(7, post) == first
    assert faults_met(8, post) != first
    assert set(first) == {None, "429", "500-after", "rejected"}


def test_faults_can_be_changed_while_it_runs(sandbox, post):
    sandbox.set_faults({"503": 1.0}, seed=3)
    assert (post(sandbox).status_code, sandbox.seed) == (503, 3)
    sandbox.clear_faults()
    assert post(sandbox).status_code == 200


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("nope", "the faults are: latency, 429"),
        ("429:2", "not between 0 and 1"),
        ("429:nan", "not between 0 and 1"),
        ("429:many", "not a number"),
        ("429:0.5:3", "takes no argument"),
        ("latency:1:soon", "not a valid seconds"),
        ("rejected:1:999", "known ids: 4, 9"),
        ("redirect:1:nowhere", "not a valid host:port"),
    ],
)
def test_fault_that_cannot_be_set_says_why(spec, says):
    with pytest.raises(FaultError, match=says):
        Sandbox(faults=[spec])


def test_rates_above_one_together_are_refused():
    with pytest.raises(FaultError, match="add up to"):
        Sandbox(faults={"429": 0.6, "503": 0.6})


def test_one_string_is_not_taken_for_a_list(sandbox):
    with pytest.raises(FaultError, match="not the string"):
        Sandbox(faults="429")
