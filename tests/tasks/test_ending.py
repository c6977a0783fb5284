"""The words with which a task ends: no two sentences run into each other, whatever was said by others before."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_omnichat.api.errors import OmnichatError
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.campaign.engine.report import CampaignReport
from airflow_provider_omnichat.campaign.ledger.interface import LedgerError
from airflow_provider_omnichat.campaign.model.rows import Result
from airflow_provider_omnichat.campaign.results.table import ResultTableError
from airflow_provider_omnichat.tasks.ending import Ending, raise_if_empty
from tests.support.airflow_harness import run_task
from tests.support.airflow_versions import needs_store
from tests.support.batch_tasks import batch, counts, number, people, rows_in
from tests.support.reasons import why
from tests.support.single_tasks import invite
from tests.support.wire_server import answer

_STARTS = (
    "Sending was stopped|The task was stopped|So far|All rows|Give results_path|It is not sent again|An earlier try may"
    "|It was to be sent|It was sent again|But that could|See in the vendor|Nothing was sent|Shorten it|Already in doubt"
)
_WRONG = {
    "two full stops": re.compile(r"(?<!\.)\.\.(?!\.)"),
    "a full stop alone": re.compile(r"\. +\."),
    "two spaces": re.compile(r"\S  +\S"),
    "a space before a full stop": re.compile(r"\s\.(?=\s|$)"),
    "no space between sentences": re.compile(r"[a-z)\d][.!?][A-Z][a-z]+ "),
    "no full stop between sentences": re.compile(rf"(?<![.!?:(]) (?:{_STARTS})\b"),
    "a full stop before a semicolon": re.compile(r"\.[;,:]"),
    "None": re.compile(r"\bNone\b"),
}


def assert_reads_well(text: str) -> None:
    """Sentences, each on a line or some of them together, and below them causes, one a line and set in."""
    for line in text.split("\n"):
        assert line.startswith("  ") or line.endswith((".", "?", "!")), text
        for name, wrong in _WRONG.items():
            found = wrong.search(line.strip())
            assert not found, f"{name} at {found.group()!r} in: {text}"


@pytest.mark.parametrize(
    "text",
    [
        "It broke off Sending was stopped. So far, 1 rows.",
        "Sending was stopped: HTTP 401: Bad login.. 3 rows.",
        "One. . Two.",
        "One.Two is there.",
        "One.  Two.",
        "One .",
        "One",
        "Bad.; Two.",
    ],
)
def test_what_reads_badly_is_found(text):
    with pytest.raises(AssertionError):
        assert_reads_well(text)


# What others say: the vendor, drivers, this package. With and without a full stop.
SAID = [
    "The invite was not sent: HTTP 401 UNAUTHORIZED: Invalid login details",
    "The invite was not sent: HTTP 401 UNAUTHORIZED: Invalid login details.",
    "nothing was accepted for 60 s; the last refusal: no connection (Connection refused)",
    "The ledger table t cannot be written (OperationalError); nothing more is sent. See that the database is up.",
    "The list cannot be read to its end (OSError: it broke.).",
    "What a mess!",
    "20 invites in a row are in doubt; sending more would only add to them ...",
]


def ended(
    outcomes: dict[Outcome, int], said: str, total: int | None = None, location: str | None = None
) -> CampaignReport:
    """How a campaign stands that has ended so."""
    made = CampaignReport(location, total)
    for outcome, count in outcomes.items():
        for position in range(count):
            made.tally.add(
                Result(position + 1, "c1", number(position), outcome, "", reason=why(said) if said else None)
            )
            made.read += 1
    return made


def text_of(ending: Callable[[], None]) -> str:
    with pytest.raises(AirflowException) as raised:
        ending()
    return str(raised.value)


@pytest.mark.parametrize("place", [None, "/tmp/results", "table t of connection c"])
@pytest.mark.parametrize("said", SAID)
def test_every_ending_of_a_batch_reads_well(said, place):
    for outcomes in ({Outcome.NOT_SENT: 3}, {Outcome.NOT_SENT: 2, Outcome.UNKNOWN: 2, Outcome.ACCEPTED: 1}):
        made = ended(outcomes, said, location=place)
        assert_reads_well(text_of(Ending(made).raise_if_another_try_helps))
        made.tally.due[Outcome.NOT_SENT] += 2  # doubts that were to be sent again
        made.stop_reason = said
        assert_reads_well(text_of(Ending(made).raise_if_another_try_helps))
    made = ended({Outcome.UNKNOWN: 12}, said, location=place)
    assert_reads_well(text_of(Ending(made).raise_if_in_doubt))
    made = ended({Outcome.REJECTED: 12}, said, location=place)
    assert_reads_well(text_of(lambda: Ending(made).raise_if_too_many_were_rejected(0.1)))
    made = ended({Outcome.INVALID: 12}, said, location=place)
    assert_reads_well(text_of(Ending(made).raise_if_no_row_was_fit))
    assert_reads_well(text_of(lambda: raise_if_empty(ended({}, said).tally, "fail")))
    assert_reads_well(text_of(lambda: raise_if_empty(ended({}, said).tally, "skip")))


@pytest.mark.parametrize("total", [None, 100])
@pytest.mark.parametrize("failure", [None, LedgerError, ResultTableError])
@pytest.mark.parametrize("said", SAID)
def test_every_early_end_reads_well_and_says_what_was_not_read(said, failure, total):
    made = ended({Outcome.ACCEPTED: 3}, said, total)
    made.read += 2
    made.failure = failure(said) if failure else None
    for made.was_stopped in (True, False) if failure else (True,):
        text = text_of(Ending(made).raise_if_another_try_helps)
        assert_reads_well(text)
        assert ("The task was stopped." in text) is made.was_stopped
        assert said.rstrip(".") in text or failure is None
        assert (
            "5 of 100 rows of the list were read; 97 have no outcome and no row in the results"
            if total
            else "5 rows of the list were read; 2 of these and the rest of the list have no outcome and no row in the"
        ) in text
    assert made.tally.manifest("c", None, made.missing)["missing"] == (97 if total else None)


VENDOR = ["Bad request", "Bad request.", "Bad request. Try again.", "Bad request ...", ""]


def refusal(status: int, text: str) -> bytes:
    return answer(status, {"requestError": {"serviceException": {"messageId": "BAD", "text": text}}})


@pytest.mark.parametrize("text", VENDOR)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 200])
def test_a_task_that_the_vendor_fails_ends_in_sentences(wire, hook_for, status, text):
    body: Any = {"to": "1", "messageCount": 1, "messageId": "m", "status": {"groupId": 5, "id": 12, "name": "NO"}}
    body["status"] |= {"description": text, "action": text}
    given = answer(200, body) if status == 200 else refusal(status, text)
    hook_for(wire(*[given] * 40))
    run = run_task(batch(people(3), retry_budget=0, max_rejected_ratio=0.0))
    assert run.state == "failed"
    assert_reads_well(str(run.error))
    single = run_task(invite())
    assert single.state == "failed"
    # What is raised as it is has no full stop, as is usual for an exception.
    assert_reads_well(str(single.error).rstrip(".") + ".")


@needs_store
def test_a_doubt_that_is_met_again_is_told_in_sentences(wire, hook_for):
    hook_for(wire(refusal(500, "It broke."), refusal(429, "Wait."), refusal(500, "It broke again.")))
    store: dict[str, Any] = {}
    for on_unknown in ("hold", "hold", "resend", "hold", "resend", "hold"):
        run = run_task(invite(on_unknown=on_unknown), store=store)
        assert_reads_well(str(run.error))
    assert "HTTP 500 BAD: It broke. It was sent again: The invite may have been sent, or not" in str(run.error)


# what was not read


class Breaks:
    """A list that gives some rows, and then fails."""

    def __init__(self, rows: int, error: Exception) -> None:
        self._rows = rows
        self._error = error

    def __iter__(self) -> Iterator[dict[str, Any]]:
        yield from people(self._rows)
        yield {"to": "nobody"}
        raise self._error


@needs_store
def test_a_list_that_fails_before_all_of_its_columns_were_seen_sends_nothing_and_is_read_again(hook_for, sandbox):
    hook_for(sandbox)
    run = run_task(batch(Breaks(0, OSError("the disk is gone.")), retries=1), retries=1)
    assert run.state == "up_for_retry"
    assert_reads_well(str(run.error))
    assert "The list cannot be read to its end (OSError at line 187 of test_ending.py)." in str(run.error)
    assert sandbox.requests_seen == 0


@pytest.mark.parametrize("rows", [1, 63, 64, 65, 300])
def test_a_list_that_fails_in_the_middle_leaves_an_outcome_for_each_row_that_was_read(
    hook_for, sandbox, tmp_path, rows
):
    hook_for(sandbox)
    run = run_task(batch(Breaks(rows, OSError("the disk is gone.")), results_path=str(tmp_path)))
    assert run.state == "failed"
    assert_reads_well(str(run.error))
    assert "The list cannot be read to its end (OSError at line 187 of test_ending.py)." in str(run.error)
    assert (
        f"{rows + 1} rows of the list were read; the rest of the list has no outcome and no row in the results, and"
        " another try takes them up."
    ) in str(run.error)
    manifest = run.xcom["return_value"]
    assert (manifest["rows"], manifest["missing"]) == (rows + 1, None)
    assert [row.position for row in rows_in(tmp_path)] == list(range(1, rows + 2))
    assert counts(run)["invalid"] == 1
    assert {row.to for row in rows_in(tmp_path) if row.outcome == "accepted"} == {sms.to for sms in sandbox.accepted}
    assert rows > 1 or not sandbox.accepted, "nothing is sent once it is known that the list is broken"
    assert all("The list cannot be read" in str(row.error) for row in rows_in(tmp_path) if row.outcome == "not_sent")


@needs_store
def test_a_ledger_that_fails_in_the_middle_says_how_much_of_the_list_has_no_outcome(hook_for, sandbox, tmp_path):
    hook_for(sandbox)
    sets: list[str] = []

    def fail_later(message: Any) -> None:
        if type(message).__name__ == "SetTaskStateStore":
            sets.append(message.key)
            if len(sets) > 4:
                raise ConnectionError("gone")

    run = run_task(batch(people(1000), retries=1, results_path=str(tmp_path)), retries=1, on_message=fail_later)
    assert run.state == "up_for_retry"
    assert_reads_well(str(run.error))
    manifest = run.xcom["return_value"]
    assert 0 < manifest["rows"] < 1000
    assert manifest["missing"] == 1000 - manifest["rows"]
    assert len(rows_in(tmp_path)) == manifest["rows"]
    read, missing = map(int, re.findall(r"(\d+) of 1000 rows of the list were read; (\d+) have no", str(run.error))[0])
    assert missing == manifest["missing"]
    assert manifest["rows"] <= read <= 1000


def test_an_account_fault_leaves_a_row_for_each_row_of_the_list(hook_for, sandbox, tmp_path):
    hook_for(sandbox)
    sandbox.script("ok", "401")
    run = run_task(batch(iter(people(3000)), concurrency=1, results_path=str(tmp_path)))
    assert_reads_well(str(run.error))
    assert "of the list were read" not in str(run.error)
    assert (run.xcom["return_value"]["rows"], run.xcom["return_value"]["missing"]) == (3000, 0)
    assert len(rows_in(tmp_path)) == 3000


def test_the_json_of_a_manifest_says_that_it_is_not_known_how_many_are_missing():
    made = ended({Outcome.ACCEPTED: 1}, "x")
    made.failure = OmnichatError("x")
    assert json.loads(json.dumps(made.tally.manifest("c", None, made.missing)))["missing"] is None


def test_rows_whose_outcome_could_not_be_written_are_named():
    made = ended({Outcome.ACCEPTED: 3}, "x")
    made.failure = LedgerError("The ledger is away")
    made.unwritten = {Outcome.ACCEPTED: [f"row {i} (C-{i})" for i in range(1, 53)], Outcome.NOT_SENT: ["row 60"]}
    text = text_of(Ending(made).raise_if_another_try_helps)
    assert_reads_well(text)
    assert (
        "The ledger does not know how these ended, so that another try takes them for in doubt, unless the results have"
        " them: accepted row 1 (C-1), row 2 (C-2), "
    ) in text
    assert "row 50 (C-50) and 2 more, see the log; not sent row 60." in text
    assert "C-51" not in text
