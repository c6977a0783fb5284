"""The invite endpoint, from the outside."""

import re

import pytest

from airflow_provider_omnichat.sandbox import Sandbox, Settings


def old_error(response):
    return response.json()["requestError"]["serviceException"]


def test_valid_invite_is_answered_as_in_the_contract_and_kept(sandbox, post):
    response = post(sandbox)

    assert response.status_code == 200
    answer = response.json()
    assert re.fullmatch(r"[0-9a-f]{12}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{16}", answer.pop("messageId"))
    assert answer == {
        "to": "41793026727",
        "messageCount": 1,
        "status": {
            "groupId": 1,
            "groupName": "PENDING",
            "id": 7,
            "name": "PENDING_ENROUTE",
            "description": "Message sent to next instance",
        },
    }
    (receipt,) = sandbox.outbox
    assert receipt.accepted
    assert receipt.to == "41793026727"
    assert receipt.message_id == response.json()["messageId"]
    assert (receipt.sequence, receipt.http_status, receipt.fault) == (1, 200, None)


def test_link_takes_the_place_of_the_placeholder(sandbox, post):
    post(sandbox)
    post(sandbox, url=sandbox.invite_url("TELEGRAM"))
    post(sandbox, changed={"linkPlaceholder": None})

    facebook, telegram, without = [receipt.text for receipt in sandbox.outbox]
    assert re.search(r"follow us at https://m\.me/sandbox\?ref=[0-9a-f]{8}$", facebook)
    assert re.search(r"follow us at https://t\.me/sandbox\?start=[0-9a-f]{8}$", telegram)
    assert without.endswith("<link>")


def test_message_ids_differ(sandbox, post):
    assert len({post(sandbox).json()["messageId"] for _ in range(5)}) == 5


@pytest.mark.parametrize(
    ("message", "segments"),
    [
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("ж" * 70, 1),
        ("ж" * 71, 2),
        ("ж" * 135, 3),
        ("\U0001f600" * 35, 1),
        ("\U0001f600" * 36, 2),
        ("a" * 100 + "\u2019", 2),
        ("a" * 152 + "€" + "a" * 152, 3),
        ("a" * 66 + "\U0001f600" + "\u2019" * 66, 3),
    ],
)
def test_segments_are_counted_as_operators_bill_them(sandbox, post, message, segments):
    assert post(sandbox, changed={"message": message}).json()["messageCount"] == segments


@pytest.mark.parametrize("to", ["1234", "1234567890123456", "+41793026727", "abc", "", "4179 3026727", "٤١٧٩٣٠٢٦"])
def test_number_that_is_none_is_refused_inside_a_200(sandbox, post, to):
    response = post(sandbox, changed={"to": to})

    assert response.status_code == 200
    status = response.json()["status"]
    assert (status["groupId"], status["id"]) == (5, 52)
    assert status["action"]
    assert not sandbox.outbox[0].accepted


@pytest.mark.parametrize(
    ("most", "more"),
    [
        ("a" * 153 * 25, "a"),
        ("\u5b57" * 1333 + "a", "a"),
        ("\u0436" * 67 * 25, "\u0436"),
        ("\U0001f600" * 825, "a" * 26),
    ],
    ids=["GSM-7", "bytes", "UCS-2", "emojis"],
)
def test_text_over_25_parts_or_4000_bytes_is_refused_inside_a_200(sandbox, post, most, more):
    assert post(sandbox, changed={"message": most}).json()["status"]["id"] == 7
    assert post(sandbox, changed={"message": most + more}).json()["status"]["id"] == 25


def test_what_has_a_length_is_the_text_with_the_link_in_it(sandbox, post):
    link = len("https://m.me/sandbox?ref=12345678")
    assert post(sandbox, changed={"message": "a" * (3825 - link) + "<link>"}).json()["status"]["id"] == 7
    assert post(sandbox, changed={"message": "a" * (3826 - link) + "<link>"}).json()["status"]["id"] == 25
    long = {"message": "x" * 5000, "linkPlaceholder": "x" * 5000}
    assert post(sandbox, changed=long).json()["status"]["id"] == 7


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"message": None}, "message"),
        ({"message": ""}, "message"),
        ({"message": 5}, "message"),
        ({"message": "half a pair \ud83d"}, "message"),
        ({"to": None}, "to"),
        ({"to": 41793026727}, "to"),
        ({"linkPlaceholder": ["<link>"]}, "linkPlaceholder"),
    ],
)
def test_wrong_field_is_named_in_a_400(sandbox, post, changed, field):
    response = post(sandbox, changed=changed)

    assert response.status_code == 400
    assert old_error(response)["messageId"] == "BAD_REQUEST"
    assert list(old_error(response)["validationErrors"]) == [field]
    assert not sandbox.outbox[0].accepted


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'"text"', b"\xff\xfe", b"[" * 100_000])
def test_body_that_is_no_json_object_is_a_400(sandbox, post, data):
    response = post(sandbox, data=data)

    assert response.status_code == 400
    assert "validationErrors" not in old_error(response)
    assert sandbox.requests_seen == 1


def test_unknown_application_and_integration_are_404(sandbox, post):
    good = sandbox.invite_url()

    for url in (good.replace(sandbox.application_key, "0" * 32), good.replace("FACEBOOK", "VIBER")):
        response = post(sandbox, url=url)
        assert response.status_code == 404
        assert old_error(response)["messageId"] == "NOT_FOUND"
    assert sandbox.accepted == []


def test_rate_limit_lets_n_through_and_answers_429_beyond(post, sandbox_clock):
    with Sandbox(settings=Settings(rate_limit=3)) as sandbox:
        assert [post(sandbox).status_code for _ in range(5)] == [200, 200, 200, 429, 429]
        assert sandbox.outbox[4].fault == "rate-limit"
        sandbox_clock.sleep(0.4)
        assert [post(sandbox).status_code for _ in range(2)] == [200, 429]


def test_rate_limit_carries_retry_after_only_when_asked(post, sandbox_clock):
    for asked in (False, True):
        with Sandbox(settings=Settings(rate_limit=1, rate_limit_retry_after=asked)) as sandbox:
            post(sandbox)
            assert post(sandbox).headers.get("Retry-After") == ("1" if asked else None)


def test_flood_filter_refuses_the_seventh_identical_text(post):
    with Sandbox(settings=Settings(flood_filter=True)) as sandbox:
        ids = [post(sandbox).json()["status"]["id"] for _ in range(8)]
        assert ids == [7] * 6 + [20, 20]
        assert post(sandbox, changed={"to": "41793026728"}).json()["status"]["id"] == 7


def test_flood_filter_refuses_the_twenty_first_different_text(post):
    with Sandbox(settings=Settings(flood_filter=True)) as sandbox:
        ids = [post(sandbox, changed={"message": f"text {n}"}).json()["status"]["id"] for n in range(21)]
        assert ids == [7] * 20 + [20]


def test_without_the_flood_filter_any_number_of_texts_passes(sandbox, post):
    assert {post(sandbox).json()["status"]["id"] for _ in range(8)} == {7}


def test_latency_holds_the_answer_back(post):
    with Sandbox(settings=Settings(latency=(0.1, 0.15))) as sandbox:
        assert post(sandbox).elapsed.total_seconds() >= 0.1
