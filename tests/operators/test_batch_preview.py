"""Dry runs, budgets and approval."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_omnichat.campaign.preview.budget import Budget
from airflow_provider_omnichat.tasks.earlier_tries import BEGUN_KEY
from tests.support.airflow_harness import run_task
from tests.support.batch_tasks import batch, counts, number, people
from tests.support.send_windows import DAY, NIGHT, window


def test_a_dry_run_makes_no_request_and_touches_no_ledger(at_sandbox, tmp_path):
    touched: list[str] = []

    def look(message: Any) -> None:
        if "TaskStateStore" in type(message).__name__ and message.key != BEGUN_KEY:
            touched.append(type(message).__name__)

    run = run_task(
        batch([*people(50), {"to": "x"}, *people(2)], dry_run=True, results_path=str(tmp_path)), on_message=look
    )
    assert run.succeeded, run.error
    manifest = run.xcom["return_value"]
    assert manifest["dry_run"] is True
    assert counts(run) == {"not_sent": 50, "invalid": 1, "duplicate": 2}
    assert (manifest["sent_this_try"], manifest["segments"]) == (0, 0)
    assert at_sandbox.requests_seen == 0
    assert touched == []
    assert list(tmp_path.iterdir()) == []


# budgets and approval


@pytest.mark.parametrize("kind", ["list", "file", "iterator"])
@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ({"budget": Budget(max_invites=9)}, "10 people would be invited, max_invites is 9"),
        ({"budget": Budget(max_segments=9)}, "about 10 SMS would be sent, max_segments is 9"),
        ({"budget": Budget(price_per_segment=0.1, max_cost=0.5)}, "it would cost about 1.00, max_cost is 0.50"),
    ],
)
def test_a_list_beyond_its_budget_is_refused_before_the_first_send(at_sandbox, tmp_path, kind, limit, words):
    invites: Any = people(10)
    if kind == "file":
        path = tmp_path / "list.jsonl"
        path.write_text("".join(json.dumps(one) + "\n" for one in invites))
        invites = str(path)
    task = batch(invites, **limit)
    if kind == "iterator":
        task.invites = iter(invites)
    run = run_task(task)
    assert run.state == "failed"
    assert "Nothing was sent" in str(run.error)
    assert words in str(run.error)
    assert at_sandbox.requests_seen == 0


@pytest.mark.parametrize("kind", ["list", "file"])
def test_a_list_within_its_budget_is_sent(at_sandbox, tmp_path, kind):
    invites: Any = people(10)
    if kind == "file":
        path = tmp_path / "list.jsonl"
        path.write_text("".join(json.dumps(one) + "\n" for one in invites))
        invites = str(path)
    run = run_task(batch(invites, budget=Budget(max_invites=10, max_segments=10, price_per_segment=0.1, max_cost=1)))
    assert run.succeeded, run.error
    assert counts(run) == {"accepted": 10}


def test_who_has_opted_out_does_not_count_for_the_budget(at_sandbox):
    run = run_task(batch(people(10), budget=Budget(max_invites=9), suppression=[f"+{number(0)}"]))
    assert run.succeeded, run.error
    assert counts(run) == {"accepted": 9, "suppressed": 1}


def test_the_approved_list_is_sent_and_no_other(at_sandbox):
    preview = run_task(batch(people(10), dry_run=True, budget=Budget(price_per_segment=0.05)))
    assert preview.succeeded, preview.error
    approved = preview.xcom["fingerprint"]
    assert preview.xcom["return_value"]["fingerprint"] == approved
    changed = run_task(batch(people(11), approved=approved))
    assert changed.state == "failed"
    assert "this is not the list that was approved" in str(changed.error)
    other_text = run_task(batch(people(10), message="Other {name} <link>", approved=approved))
    assert other_text.state == "failed"
    assert at_sandbox.requests_seen == 0
    same = run_task(batch(people(10)[::-1], approved=approved))
    assert same.succeeded, same.error
    assert at_sandbox.requests_seen == 10


# dry run


def test_a_preview_tells_people_who_when_how_much_and_who_not(at_sandbox, ledger):
    run_task(batch(people(1), campaign="welcome", **ledger))
    invites = [
        *people(4, zone=DAY),
        {"to": f"+{number(20)}", "name": "Nox", "zone": NIGHT},
        {"to": f"+{number(21)}", "name": "Out", "zone": DAY},
        {"to": "nobody"},
    ]
    run = run_task(
        batch(
            invites,
            dry_run=True,
            campaign="welcome",
            suppression=[f"+{number(21)}"],
            send_window=window(),
            budget=Budget(price_per_segment=0.05, currency="CHF"),
            **ledger,
        )
    )
    assert run.succeeded, run.error
    assert counts(run) == {"not_sent": 3, "held": 1, "duplicate": 1, "suppressed": 1, "invalid": 1}
    told = run.xcom["return_value"]["preview"]
    assert (told["rows"], told["invites"], told["later"], told["cost"]) == (7, 4, 1, 0.2)
    text = run.xcom["markdown"]
    for words in (
        "**4** people of 7 rows would be invited",
        "about **4 SMS** to pay for, together about **0.20 CHF** at 0.05 CHF each",
        "| at once |  | 3 |",
        "| from ",
        "is on the opt-out list",
        "already invited in this campaign",
        "Row 2, to 41792\\*\\*\\*\\*01",
    ):
        assert words in text, text
    assert number(1) not in text
    assert at_sandbox.requests_seen == 1


def test_a_text_that_is_too_long_with_any_link_is_invalid_and_one_that_may_fit_is_sent(at_sandbox):
    # The sandbox's link has 33 characters, of 40 that are assumed.
    texts = ["字" * 1340, "a" * 3826, "字" * 1320, "a" * 3790, "short "]
    invites = [{**one, "message": f"{text}<link>"} for one, text in zip(people(5), texts, strict=True)]
    preview = run_task(batch(invites, dry_run=True)).xcom
    assert preview["return_value"]["counts"]["invalid"] == 2
    told = preview["return_value"]["preview"]
    assert (told["invites"], told["segments"]["too_long"]) == (3, 1)
    (reason,) = told["reasons"]
    assert reason == {
        "outcome": "invalid",
        "code": "message_too_long",
        "reason": "message: is too long, the vendor takes at most 25 SMS and 4,000 bytes",
        "rows": 2,
    }
    sent = run_task(batch(invites, approved=preview["fingerprint"]))
    assert counts(sent) == {"accepted": 3, "invalid": 2}
    assert at_sandbox.requests_seen == 3


@pytest.mark.parametrize("on_closed", ["defer", "skip"])
def test_what_a_preview_tells_is_what_then_becomes_of_each_row(at_sandbox, ledger, on_closed):
    run_task(batch(people(4), campaign="spring", task_id="earlier", **ledger))
    run_task(batch(people(30)[10:16], campaign="other", **ledger))
    invites = [
        *({**one, "zone": NIGHT if i in {20, 27} else DAY} for i, one in enumerate(people(30))),
        *people(6, zone=NIGHT),
        *({"to": one, "name": "x", "zone": DAY} for one in ("nobody", "", "+41 44 668 18 00", "+870773111632")),
        {"to": f"+{number(90)}", "name": "x", "zone": "Mars"},
        {"to": f"+{number(91)}", "zone": DAY},
    ]
    given: dict[str, Any] = {
        "campaign": "spring",
        "max_per_recipient": (1, "7d"),
        "suppression": [f"+{number(i)}" for i in range(8, 12)],
        "send_window": window(on_closed=on_closed),
        **ledger,
    }
    preview = run_task(batch(invites, dry_run=True, task_id="preview", **given))
    before = at_sandbox.requests_seen
    sent = run_task(batch(invites, approved=preview.xcom["fingerprint"], task_id="send", **given))
    assert sent.state == ("deferred" if on_closed == "defer" else "success"), sent.error
    seen = counts(preview)
    assert at_sandbox.requests_seen - before == seen["not_sent"]
    assert counts(sent) == {**{outcome: n for outcome, n in seen.items() if outcome != "not_sent"}, "accepted": 18}
    assert seen["not_sent"] == 18


def test_a_preview_of_a_list_beyond_its_budget_is_there_and_red(at_sandbox):
    run = run_task(batch(people(10), dry_run=True, budget=Budget(max_invites=9)))
    assert run.state == "failed"
    assert "max_invites is 9" in str(run.error)
    assert "**10** people" in run.xcom["markdown"]


def test_a_preview_holds_the_budget_against_what_the_send_holds_it_against(at_sandbox, ledger):
    run_task(batch(people(5), campaign="welcome", **ledger))
    given: dict[str, Any] = {"campaign": "welcome", "budget": Budget(max_invites=9), **ledger}
    preview = run_task(batch(people(10), dry_run=True, **given))
    assert "**5** people" in preview.xcom["markdown"]
    sent = run_task(batch(people(10), **given))
    assert preview.state == sent.state == "failed"
    assert "10 people would be invited, max_invites is 9" in str(preview.error)
    assert str(preview.error) == str(sent.error)


@pytest.mark.parametrize("kind", ["list", "iterator"])
def test_budget_and_approval_are_of_the_whole_list_also_for_a_part_of_it(at_sandbox, ledger, kind):
    def part(of: int, **given: Any) -> Any:
        task = batch(people(40), task_id=f"part_{of}", partition=(of, 2), campaign="welcome", **given, **ledger)
        if kind == "iterator":
            task.invites = iter(people(40))
        return run_task(task)

    whole = run_task(batch(people(40), dry_run=True)).xcom["fingerprint"]
    preview = part(0, dry_run=True)
    assert preview.succeeded, preview.error
    assert preview.xcom["fingerprint"] == whole
    assert 0 < preview.xcom["return_value"]["rows"] < 40
    refused = part(0, budget=Budget(max_invites=39))
    assert "40 people would be invited, max_invites is 39" in str(refused.error)
    assert at_sandbox.requests_seen == 0
    for of in range(2):
        run = part(of, approved=whole, budget=Budget(max_invites=40))
        assert run.succeeded, run.error
    assert sorted(sms.to for sms in at_sandbox.accepted) == [number(i) for i in range(40)]


def test_names_that_are_null_and_numbers_that_may_be_rounded_are_pointed_out(at_sandbox):
    invites = [
        {"to": "41793000000", "name": "Ada"},
        {"to": "+41793026728", "name": "Bo"},
        {"to": "+41793026727", "name": "NULL"},
    ]
    run = run_task(batch(invites, dry_run=True))
    assert run.succeeded, run.error
    noticed = run.xcom["return_value"]["preview"]["noticed"]
    assert {row["what"].partition(" ")[0]: row["first_rows"] for row in noticed} == {"the": [1], "NULL": [3]}
    assert "### Look at these" in run.xcom["markdown"]
