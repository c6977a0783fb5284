"""The tab *Invites* and the page *Invite campaigns* of a real API server: what they show, to whom, what is settled."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest

from airflow_provider_omnichat.campaign.ledger.interface import LedgerError
from airflow_provider_omnichat.campaign.ledger.task_state_doubts import doubts_in_store
from airflow_provider_omnichat.hooks.airflow_api import RemoteStateStore, airflow_client
from airflow_provider_omnichat.sandbox.outbox import Receipt
from airflow_provider_omnichat.sandbox.server import Sandbox
from airflow_provider_omnichat.tasks.earlier_tries import BEGUN_KEY
from tests.support.airflow_deployment import Airflow, assert_none_of
from tests.support.airflow_versions import HAS_STATE_STORE
from tests.support.guarded_server import BLIND_USER, PASSWORDS, GuardedServer, address_of, guarded_server

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.promise,
    pytest.mark.skipif(not HAS_STATE_STORE, reason="what is tested here of the task state store came with Airflow 3.3"),
]

SENT = 60
# By the first requests of each batch: two that went out, one that did not; and two refusals.
DOUBTS = ("500-after", "500-after", "500-before")
ENDINGS = (*DOUBTS, "rejected:10", "rejected:10", *["ok"] * (SENT - 5), *DOUBTS)
HOSTILE = "<script>alert(1)</script>\"'"
KEY = r'<td class="key">(C-\d+)</td>'


def people(prefix: str) -> list[dict[str, str]]:
    """Sixty of them; no number is in two lists, so that the vendor's logs have one message of each."""
    made = [{"to": f"+{prefix}{i:04}", "name": f"P{i}", "customer_id": f"C-{i}"} for i in range(SENT)]
    made[7]["customer_id"] = HOSTILE
    return [*made, {"to": "nobody", "name": "X", "customer_id": "C-nobody"}]


LISTS = {"to_files": people("4179222"), "to_ledger": people("4179333")}
ROWS = SENT + 1
NUMBERS = [person["to"].lstrip("+") for listed in LISTS.values() for person in listed[:SENT]]


class Campaign:
    """One run of the DAG, its truth, and who asks."""

    def __init__(self, airflow: Airflow, sandbox: Sandbox, server: GuardedServer, run_id: str) -> None:
        self.airflow, self.sandbox, self.server, self.run_id = airflow, sandbox, server, run_id

    def page(self, user: str | None, page: str = "task", task_id: str = "to_files", **more: Any) -> Any:
        return self.server.ask(user, address_of(page, "tab", self.run_id, task_id, **more))

    def token(self, task_id: str = "to_files") -> str:
        found = re.search(r'data-token="([^"]+)"', self.page("admin", task_id=task_id).text)
        assert found
        return unescape(found[1])

    def settle(self, user: str, task_id: str, body: object, **headers: str) -> Any:
        return self.server.ask(user, address_of("settle", "tab", self.run_id, task_id), body, **headers)

    def doubts(self, task_id: str) -> dict[str, str]:
        """Give what stands for each doubt, by the masked end of its number."""
        text = self.page("admin", task_id=task_id).text
        rows = re.findall(r'<td class="mono nowrap">(\S+)\s.*?data-recipient="([0-9a-f]+)" data-as="sent"', text, re.S)
        return dict(rows)


@pytest.fixture(scope="module")
def campaign(deployment: Airflow, shared_sandbox: Sandbox) -> Iterator[Campaign]:
    shared_sandbox.clear()
    shared_sandbox.clear_faults()
    shared_sandbox.script(*ENDINGS)
    for name, listed in LISTS.items():
        (deployment.marks / f"{name}.jsonl").write_text("".join(json.dumps(person) + "\n" for person in listed))
    with guarded_server(deployment) as server:
        run_id = deployment.trigger("tab")
        made = Campaign(deployment, shared_sandbox, server, run_id)
        seen = deployment.wait_until(lambda: watched(made), "the tab shows the batch under way")
        assert 0 < seen["rows"] < ROWS
        assert seen["state"] == "running"
        deployment.wait_for_run("tab", run_id)
        assert deployment.tries("tab", run_id, "to_files")[-1][0] == "failed"
        yield made


def watched(made: Campaign) -> dict[str, Any] | None:
    answer = made.page("viewer", "task.json")
    told = json.loads(answer.text) if answer.status == 200 else {}
    if not 0 < told.get("rows", 0) < ROWS:
        return None
    page = made.page("viewer", part="live")
    assert (page.status, page.headers["X-At-Work"]) == (200, "yes")
    return dict(told)


def test_the_tab_shows_outcomes_reasons_and_rows_without_a_whole_number(campaign: Campaign) -> None:
    page = campaign.page("viewer")
    assert page.status == 200
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.text))
    for shown in ("3 in doubt", "55 accepted", "2 rejected", "1 invalid", "REJECTED_DND", "C-nobody", "41792****40"):
        assert shown in text, text
    assert page.headers["X-At-Work"] == "no"
    told = campaign.page("viewer", "task.json")
    assert json.loads(told.text)["counts"]["unknown"] == 3
    listed = campaign.page("viewer", "rows.csv")
    assert len(listed.text.splitlines()) == 1 + ROWS
    assert_none_of(NUMBERS, page.text + told.text + listed.text)


def test_rows_are_chosen_and_paged(campaign: Campaign) -> None:
    first = campaign.page("viewer").text
    after = unescape(re.search(r'href="task\?[^"]*after=([^"&#]+)', first)[1])  # type: ignore[index]
    found = campaign.page("viewer", after=after.replace("%3A", ":")).text
    keys = [*keys_in(first), *keys_in(found)]
    assert sorted(keys) == sorted(f"C-{i}" for i in range(60) if i != 7)
    rejected = campaign.page("viewer", outcome="rejected", status="REJECTED_DND").text
    rows = rejected[rejected.index('id="rows"') :]
    assert len(re.findall(r'label is-rejected">rejected</span></td>', rows)) == 2
    assert "No row matches" in campaign.page("viewer", q="not there").text
    assert '<td class="key">C-41</td>' in campaign.page("viewer", q="c-41").text


def test_markup_of_others_is_shown_and_not_run(campaign: Campaign) -> None:
    for page in (
        campaign.page("viewer"),
        campaign.page("viewer", q=HOSTILE),
        campaign.page("viewer", task_id="to_ledger"),
    ):
        assert "<script>alert" not in page.text
    assert "&lt;script&gt;alert(1)" in campaign.page("viewer", q="script").text
    policy = campaign.page("viewer").headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_the_sql_ledger_mapped_tasks_a_single_invite_and_the_run_are_shown(campaign: Campaign) -> None:
    in_ledger = campaign.page("viewer", task_id="to_ledger").text
    assert "table omnichat_invites of connection" in in_ledger
    assert len(keys_in(in_ledger)) == 50 - (HOSTILE in unescape(in_ledger))
    assert re.search(r"<b>1</b>\s*accepted", campaign.page("viewer", task_id="single").text)
    both = campaign.page("viewer", task_id="parts", map_index="{MAP_INDEX}").text
    assert "6 rows of 2 tasks" in both
    assert "parts [1]" in both
    assert re.search(r"<b>3</b>\s*accepted", campaign.page("viewer", task_id="parts", map_index=1).text)
    run = campaign.server.ask("viewer", f"omnichat/run?dag_id=tab&run_id={campaign.run_id.replace('+', '%2B')}").text
    assert "to_files" in run
    assert "to_ledger" in run
    assert "131 rows of 6 tasks" in run


def test_what_was_sent_with_a_link_of_ones_own_is_shown_under_ids_of_ours(campaign: Campaign) -> None:
    sent = {sms.message_id: sms for sms in campaign.sandbox.accepted if sms.sender == "ACME"}
    links = sorted(str(sms.text).removeprefix("Come to https://t.me/acme_bot") for sms in sent.values())
    assert links == ["", "?start=L-0", "?start=L-1"]
    assert all(re.fullmatch(r"[a-p]{32}-[a-p]{8}", str(message_id)) for message_id in sent)
    (of_single,) = campaign.airflow.xcoms("tab", campaign.run_id, "single", "messageId").values()
    assert sent.pop(of_single).to == "41791112233"
    listed = csv.DictReader(io.StringIO(campaign.page("viewer", "rows.csv", "linked").text))
    assert {row["message_id"]: row["key"] for row in listed} == {
        message_id: sms.text.rpartition("=")[2] for message_id, sms in sent.items()
    }
    assert all(str(message_id) in campaign.page("viewer", task_id="linked").text for message_id in sent)


def test_a_task_that_sent_nothing_says_so_in_one_line_and_one_that_is_not_there_is_missing(campaign: Campaign) -> None:
    page = campaign.page("viewer", task_id="nothing")
    assert (page.status, page.text.count("<p")) == (200, 1)
    assert "has sent no invites" in page.text
    assert campaign.page("viewer", task_id="not_there").status == 404


def test_the_campaigns_page_lists_doubts_first(campaign: Campaign) -> None:
    text = campaign.server.ask("viewer", "omnichat/campaigns").text
    assert "3 in doubt" in text
    assert max(text.index("to_files"), text.index("to_ledger")) < min(text.index("parts"), text.index("single"))
    assert_none_of(NUMBERS, text)


def test_who_may_not_see_the_dag_sees_nothing_of_it(campaign: Campaign) -> None:
    for page in ("task", "task.json", "rows.csv", "run"):
        assert campaign.page(BLIND_USER, page).status == 403
        assert campaign.page(None, page).status == 401
    # The rights are asked for the DAG that is read, however often the address names one.
    own = f"run_id={campaign.run_id.replace('+', '%2B')}&task_id=to_files"
    for dag_ids in (
        "dag_id=tab",
        "dag_id=mine&dag_id=tab",
        "dag_id=tab&dag_id=mine",
        "dag_id=~",
        "dag_id=",
        "dag_id=%74ab",
    ):
        for page in ("task", "run", "task.json", "rows.csv"):
            answer = campaign.server.ask(BLIND_USER, f"omnichat/{page}?{dag_ids}&{own}")
            assert answer.status in (403, 404), (page, dag_ids)
    assert "to_files" not in campaign.server.ask(BLIND_USER, "omnichat/campaigns").text
    assert campaign.server.ask(None, "omnichat/campaigns").status == 401
    token = campaign.token()
    body = {"recipients": ["0" * 32], "settled_as": "sent", "why": "because"}
    assert campaign.settle(BLIND_USER, "to_files", body, X_CSRF_Token=token).status == 403


def test_who_may_look_and_not_edit_settles_nothing(campaign: Campaign) -> None:
    page = campaign.page("viewer").text
    assert "data-recipient" not in page
    assert "a user who may edit it has to settle them" in page
    body = {"recipients": [next(iter(campaign.doubts("to_files").values()))], "settled_as": "sent", "why": "because"}
    assert campaign.settle("viewer", "to_files", body, X_CSRF_Token=campaign.token()).status == 403


def test_a_write_needs_the_token_of_our_page(campaign: Campaign) -> None:
    body = {"recipients": [next(iter(campaign.doubts("to_files").values()))], "settled_as": "sent", "why": "because"}
    assert campaign.settle("admin", "to_files", body).status == 403
    assert campaign.settle("admin", "to_files", body, X_CSRF_Token="made up").status == 403
    # What the audit log would not read, or would take for the name of another DAG.
    token = campaign.token()
    odd = campaign.settle("admin", "to_files", body, X_CSRF_Token=token, Content_Type="application/x+json")
    assert odd.status == 415
    assert campaign.settle("admin", "to_files", {**body, "dag_id": "another"}, X_CSRF_Token=token).status == 422
    assert len(campaign.doubts("to_files")) == 3


def test_another_task_reaches_the_state_store_by_airflows_api_as_a_user_who_may_edit_it(
    campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(user: str) -> RemoteStateStore:
        fields = {"conn_type": "http", "host": campaign.server.address, "login": user, "password": PASSWORDS[user]}
        monkeypatch.setenv("AIRFLOW_CONN_AIRFLOW_API", json.dumps(fields))
        return RemoteStateStore(airflow_client("airflow_api"), task)

    task = f"tab/{campaign.run_id}/to_files"
    for user in ("admin", "viewer"):
        store = opened(user)
        assert len(list(doubts_in_store(store, store.get(BEGUN_KEY)["campaign"]))) == 3
    opened("admin").set("other", {"a": [1]})
    assert opened("viewer").get("other") == {"a": [1]}
    for refused in (lambda: opened("viewer").set("other", 2), lambda: opened(BLIND_USER)):
        with pytest.raises(LedgerError, match="HTTP 403; the connection's user may not"):
            refused()
    monkeypatch.setitem(PASSWORDS, "viewer", "wrong")
    with pytest.raises(LedgerError, match="No access token: HTTP 401"):
        opened("viewer")


def test_what_was_settled_by_page_command_or_look_up_is_never_sent_twice_and_what_was_lost_goes_out_once(
    campaign: Campaign,
) -> None:
    before = campaign.sandbox.outbox
    in_files, in_ledger = (Truth(before[start : start + SENT]) for start in (0, SENT))
    settle_by_page(campaign, "to_files", {**in_files.sent, **in_files.lost}, in_files.sent)
    by_page, by_look_up = in_ledger.sent
    settle_by_page(campaign, "to_ledger", {by_page: in_ledger.sent[by_page]}, in_ledger.sent)
    settle_by_command(campaign, *in_ledger.lost.values())
    settled = "event = 'omnichat_settle_invite' AND dag_id = 'tab'"
    logged = campaign.airflow.query(f"SELECT owner, task_id, extra FROM log WHERE {settled}")
    assert {(owner, task) for owner, task, _ in logged} == {("admin", "to_files"), ("admin", "to_ledger")}
    assert_none_of(NUMBERS, json.dumps(logged))

    campaign.airflow.clear("tab", campaign.run_id, only_failed=True)
    campaign.airflow.wait_for_run("tab", campaign.run_id)
    more = [sms.to for sms in campaign.sandbox.outbox[len(before) :] if sms.accepted]
    assert sorted(more) == sorted([*in_files.lost.values(), *in_ledger.lost.values()])
    for task_id in ("to_files", "to_ledger"):
        assert campaign.airflow.tries("tab", campaign.run_id, task_id)[-1] == ("success", 2)
        assert json.loads(campaign.page("viewer", "task.json", task_id).text)["counts"]["unknown"] == 0
    found = campaign.page("viewer", "rows.csv", "to_ledger", q=key_of(in_ledger.sent[by_look_up])).text
    assert re.search(r"accepted,.*found in the vendor's SMS logs|accepted,.*[0-9a-f-]{36}", found), found


class Truth:
    """What became of the doubts of a batch, by the number as a page shows it: only the vendor knows."""

    def __init__(self, receipts: list[Receipt]) -> None:
        doubts = [sms for sms in receipts if sms.http_status == 500]
        self.sent = {shown(sms.to): sms.to for sms in doubts if sms.accepted}
        self.lost = {shown(sms.to): sms.to for sms in doubts if not sms.accepted}
        assert (len(self.sent), len(self.lost)) == (2, 1)


def keys_in(page: str) -> list[str]:
    """Give the keys in the table of the rows; doubts have one of their own."""
    return re.findall(KEY, page[page.index('id="rows"') :])


def shown(number: str) -> str:
    return f"{number[:5]}****{number[-2:]}"


def key_of(number: str) -> str:
    everybody = (person for listed in LISTS.values() for person in listed)
    return next(person["customer_id"] for person in everybody if person["to"] == f"+{number}")


def settle_by_page(campaign: Campaign, task_id: str, doubts: dict[str, str], sent: dict[str, str]) -> None:
    listed, token = campaign.doubts(task_id), campaign.token(task_id)
    assert len(listed) == 3

    def settle(number: str, settled_as: str) -> Any:
        body = {"recipients": [listed[number]], "settled_as": settled_as, "why": "seen in the portal"}
        return campaign.settle("admin", task_id, body, X_CSRF_Token=token)

    for number in doubts:
        assert settle(number, "not_sent").status == 200
        if number in sent:  # which was wrong
            assert settle(number, "in_doubt").status == 200
            assert settle(number, "sent").status == 200
        again = settle(number, "sent")
        assert (again.status, "not in doubt" in again.text) == (409, True)
    left = set(listed) - set(doubts)
    assert (set(campaign.doubts(task_id)) if left else set()) == left
    assert json.loads(campaign.page("viewer", "task.json", task_id).text)["counts"]["unknown"] == len(left)
    page = campaign.page("viewer", task_id=task_id).text
    assert ("Settled doubts" in page, "by admin at" in page) == (True, True)


def settle_by_command(campaign: Campaign, number: str) -> None:
    command = (
        "settle",
        f"tab {campaign.run_id}",
        "--row-key",
        key_of(number),
        "--as",
        "not-sent",
        "--why",
        "not there",
    )
    done = campaign.airflow.run(
        "-m", "airflow_provider_omnichat.cli", *command, "--conn-id", "omnichat_ledger", "--yes"
    )
    assert done.returncode == 0, done.stdout[-2000:]
