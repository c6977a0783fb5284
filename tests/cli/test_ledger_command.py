"""``omnichat-ledger`` as a process of its own, in a terminal, and behind Airflow's own command."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from airflow_provider_omnichat.api.identity import recipient_key
from airflow_provider_omnichat.api.outcomes import Outcome
from airflow_provider_omnichat.api.reasons import Reason, ReasonCode
from airflow_provider_omnichat.campaign.ledger.audit import LedgerAudit
from airflow_provider_omnichat.campaign.ledger.interface import CERTAINLY_NOT_SENT, Claim, Entry
from airflow_provider_omnichat.campaign.ledger.sql_ledger import SqlLedger
from airflow_provider_omnichat.cli.__main__ import main
from airflow_provider_omnichat.cli.commands import COMMANDS
from tests.support.patience import PATIENCE_SECONDS
from tests.support.sql_servers import Target

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "airflow_provider_omnichat.cli"]
NUMBERS = [f"4179302{i:04d}" for i in range(5)]
LOST = Reason(ReasonCode.READ_TIMEOUT, "no answer in time")


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Target:
    """A ledger with five invites: accepted, rejected, two unknown, one claimed."""
    path = tmp_path / "ledger.sqlite"
    monkeypatch.setenv("AIRFLOW_CONN_OMNICHAT_LEDGER", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    monkeypatch.setenv("OMNICHAT_LEDGER_CONN_ID", "omnichat_ledger")
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")
    found = Target("sqlite", "sqlite3", {"database": str(path)})
    ledger = SqlLedger(found.database(), "welcome", "dag/run/task")
    claims = [Claim(recipient_key("welcome", number), number, f"C-{i}") for i, number in enumerate(NUMBERS)]
    ledger.claim(claims, CERTAINLY_NOT_SENT)
    outcomes = [Outcome.ACCEPTED, Outcome.REJECTED, Outcome.UNKNOWN, Outcome.UNKNOWN]
    ledger.record(
        {
            claim.recipient: Entry.now(outcome, reason=LOST if outcome is Outcome.UNKNOWN else None)
            for claim, outcome in zip(claims, outcomes, strict=False)
        }
    )
    ledger.flush()
    ledger.close()
    return found


@pytest.fixture
def run(target: Target, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run the command in this process; give its code, and what it wrote."""

    def run_command(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            code = main(arguments)
        except SystemExit as ended:
            code = int(str(ended.code))
        written = capsys.readouterr()
        return code, written.out, written.err

    return run_command


def outcomes(target: Target) -> dict[str, str]:
    return {str(row.row_key): row.outcome for row in LedgerAudit(target.database()).rows("welcome")}


def process(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        stdin=subprocess.DEVNULL,
        check=False,
    )


@pytest.fixture
def in_terminal(target: Target, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[int, str]]]:
    """Run the command in this process with a terminal, in which somebody has typed an answer; give what it shows."""
    leader, follower = pty.openpty()
    files = os.fdopen(leader, "r+b", buffering=0), os.fdopen(follower), os.fdopen(os.dup(follower), "w")
    with files[0] as terminal, files[1] as typed, files[2] as screen:
        os.set_blocking(leader, False)

        def run_command(answer: str, *arguments: str) -> tuple[int, str]:
            terminal.write(answer.encode())
            monkeypatch.setattr(sys, "stdin", typed)
            monkeypatch.setattr(sys, "stdout", screen)
            monkeypatch.setattr(sys, "stderr", screen)
            code = main(arguments)
            screen.flush()
            return code, b"".join(iter(lambda: terminal.read(4096), None)).decode()

        yield run_command


def test_status_counts_doubts_first(target: Target) -> None:
    done = process("status", "welcome")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[:7] == [
        "Campaign welcome: 5 invites, 3 in doubt",
        "",
        "  INVITES  OUTCOME   REASON",
        "        1  claimed   claim_never_ended",
        "        2  in doubt  read_timeout",
        "        1  accepted",
        "        1  rejected",
    ]


HOSTILE = "=HYPERLINK(1);@x\t\x1b]0;owned\x07\x9b31m\u2028end"


def test_nothing_in_the_ledger_is_a_formula_or_obeyed_by_a_terminal(target, run):
    target.run("UPDATE omnichat_invites SET row_key = ?, claimed_by = ? WHERE row_key = 'C-2'", HOSTILE, HOSTILE)
    target.run("UPDATE omnichat_invites SET error = ? WHERE row_key = 'C-3'", HOSTILE)
    (shown,) = run("export", NUMBERS[2])[1:2]
    assert json.loads(shown)[0]["row_key"] == HOSTILE
    for given in (["export", NUMBERS[2]], ["doubts", "welcome"], ["doubts", "welcome", "--csv"]):
        code, out, _ = run(*given)
        assert code == 0
        assert [sign for sign in out if sign != "\n" and not sign.isprintable() and sign != "\t"] == [], given
    rows = list(csv.DictReader(io.StringIO(out), strict=True))
    assert [len(line) for line in csv.reader(io.StringIO(out))] == [8] * 4
    assert "'=HYPERLINK(1);@x\t ]0;owned 31m end" in [row["row_key"] for row in rows]
    (line,) = [line for line in out.splitlines() if "HYPER" in line and "C-3" not in line]
    assert line.startswith("\"'=HYPERLINK"), "quoted, since it has another reader's separators in it"
    refused = run("settle", "welcome", "--row-key", HOSTILE, "--as", "sent", "--why", "seen", "--yes")
    assert "\x1b" not in "".join(map(str, refused))


def test_without_a_terminal_and_without_yes_nothing_is_changed(run, target: Target, monkeypatch) -> None:
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        code, shown, said = run("settle", "welcome", "--row-key", "C-2", "--as", "sent", "--why", "seen in the portal")
    assert (code, said) == (1, "Nothing was changed. With --yes it is.\n")
    assert "C-2      41793****02  in doubt" in shown
    assert outcomes(target)["C-2"] == "unknown"


@pytest.mark.parametrize(("answer", "code", "outcome"), [("y\n", 0, "accepted"), ("\n", 1, "unknown")])
def test_in_a_terminal_somebody_is_asked(in_terminal, target: Target, answer: str, code: int, outcome: str) -> None:
    ended, shown = in_terminal(
        answer, "settle", "welcome", "--reason", "read_timeout", "--as", "sent", "--why", "seen in the portal"
    )
    assert "Settle 2 invites as sent, and never send them again? [y/N]" in shown
    assert ended == code
    assert outcomes(target) == {
        "C-0": "accepted",
        "C-1": "rejected",
        "C-2": outcome,
        "C-3": outcome,
        "C-4": "claimed",
    }


@pytest.mark.airflow
def test_airflows_own_command_has_the_same(target: Target) -> None:
    config = pytest.importorskip("airflow.cli.cli_parser")
    if "omnichat-ledger" not in config.ALL_COMMANDS_DICT:
        pytest.skip("this Airflow takes no commands of providers, or the provider is not installed")
    airflow = [sys.executable, "-m", "airflow", "omnichat-ledger"]
    done = subprocess.run(
        [*airflow, "status", "welcome"], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert "Campaign welcome: 5 invites, 3 in doubt" in done.stdout
    assert done.returncode == 0
    done = subprocess.run(
        [*airflow, "status", "nobodys"], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert done.returncode == 1
    assert "There are no invites of the campaign 'nobodys'" in done.stderr


def test_doubts_are_masked_and_as_csv_hold_all_that_helps(run) -> None:
    code, shown, _ = run("doubts", "welcome")
    assert code == 0
    assert not any(number in shown for number in NUMBERS)
    assert "3 invites in doubt" in shown
    _, shown, _ = run("doubts", "welcome", "--csv")
    rows = list(csv.DictReader(io.StringIO(shown)))
    assert [(row["row_key"], row["recipient"], row["outcome"], row["reason_code"]) for row in rows] == [
        ("C-2", "41793****02", "unknown", "read_timeout"),
        ("C-3", "41793****03", "unknown", "read_timeout"),
        ("C-4", "41793****04", "claimed", "claim_never_ended"),
    ]
    _, shown, _ = run("doubts", "welcome", "--csv", "--whole-numbers")
    assert [row["recipient"] for row in csv.DictReader(io.StringIO(shown))] == NUMBERS[2:]


def test_who_settles_says_how_they_know(run) -> None:
    code, shown, error = run("settle", "welcome", "--row-key", "C-2", "--as", "sent", "--yes", "--why", "  ")
    assert (code, "--why must have 3 letters" in error) == (1, True)
    assert "settled as" not in shown
    assert run("status", "welcome")[1].startswith("Campaign welcome: 5 invites, 3 in doubt")


@pytest.mark.parametrize("number", ["0770090", "12345", "41793030000.0", "4.1793E+10"])
def test_what_is_no_international_number_is_not_looked_for(run, number: str) -> None:
    for command in (("export", number), ("forget", number, "--yes")):
        code, shown, error = run(*command)
        assert (code, shown) == (1, "")
        assert error.count("\n") == 1


def test_settled_is_kept_with_who_and_why(run, target: Target) -> None:
    common = ("--yes", "--why", "the portal", "--by", "ann")
    assert run("settle", "welcome", "--row-key", "C-2", "--as", "sent", *common)[0] == 0
    assert run("settle", "welcome", "--number", "+41 79 302 00 03", "--as", "not-sent", *common)[0] == 0
    code, shown, error = run("settle", "welcome", "--row-key", "C-1", "--row-key", "C-4", "--as", "sent", *common)
    assert code == 1
    assert "C-1 is not in doubt: rejected since" in error
    assert "C-4 may be being sent right now" in error
    assert "0 invites settled as sent" in shown
    assert run("settle", "welcome", "--row-key", "C-4", "--as", "sent", "--no-task-runs", *common)[0] == 0
    assert outcomes(target) == {
        "C-0": "accepted",
        "C-1": "rejected",
        "C-2": "accepted",
        "C-3": "not_sent",
        "C-4": "accepted",
    }
    settled = {row.row_key: (row.settled_as, row.settled_by) for row in LedgerAudit(target.database()).rows("welcome")}
    assert settled["C-3"] == ("not_sent", "ann")
    assert run("doubts", "welcome")[1] == "Nobody is in doubt.\n"


def test_the_claims_of_a_dead_worker_are_settled_by_their_reason(run, target: Target) -> None:
    command = ("settle", "welcome", "--reason", "claim_never_ended", "--as", "not-sent", "--yes", "--why", "the portal")
    assert "C-4 may be being sent right now" in run(*command)[2]
    target.run("UPDATE omnichat_invites SET claimed_at = '2026-11-30 08:00:00'")
    assert "1 invite settled as not sent" in run(*command)[1]
    assert outcomes(target)["C-4"] == "not_sent"
    assert outcomes(target)["C-2"] == "unknown"


def test_a_number_is_exported_and_forgotten(run, target: Target) -> None:
    code, shown, _ = run("export", "+41 79 302 00 00")
    assert code == 0
    assert [(row["campaign"], row["recipient"]) for row in json.loads(shown)] == [("welcome", NUMBERS[0])]
    code, shown, _ = run("forget", NUMBERS[0], "--yes")
    assert code == 0
    assert "41793****00 is erased from 1 rows" in shown
    assert NUMBERS[0] not in shown
    assert NUMBERS[0] not in str(target.run("SELECT * FROM omnichat_invites"))
    assert run("forget", NUMBERS[0], "--yes")[1] == "41793****00 is not in the ledger.\n"
    assert "welcome" in run("export", NUMBERS[0])[1]  # what is left of it


def test_campaigns_are_listed_the_latest_first(run, target: Target) -> None:
    for name, owner in {"autumn": "dag/run 1/task", "dag/run 2/task": "dag/run 2/task"}.items():
        ledger = SqlLedger(target.database(), name, owner)
        ledger.claim([Claim(recipient_key(name, NUMBERS[0]), NUMBERS[0])], CERTAINLY_NOT_SENT)
        ledger.close()
    for task_id in ("a", "b/12", "run 3/a"):
        ledger = SqlLedger(target.database(), "autumn", f"dag/run 2/{task_id}")
        number = f"417930300{len(task_id):02}"
        ledger.claim([Claim(recipient_key("autumn", number), number)], CERTAINLY_NOT_SENT)
        ledger.close()
    target.run("UPDATE omnichat_invites SET claimed_at = ? WHERE campaign = 'autumn'", "2099-01-02 03:04:05")
    target.run("UPDATE omnichat_invites SET claimed_at = ? WHERE campaign LIKE 'dag%'", "2020-01-02 03:04:05")
    code, shown, _ = run("campaigns")
    assert (code, shown.split("\n")[:2]) == (
        0,
        [
            "  LAST (UTC)        RUNS  INVITES  IN DOUBT  CAMPAIGN",
            "  2099-01-02 03:04     3        4         4  autumn",
        ],
    )
    _, shown, _ = run("campaigns", "--csv")
    listed = list(csv.DictReader(io.StringIO(shown)))
    assert [(each["campaign"], each["runs"], each["in_doubt"]) for each in listed] == [
        ("autumn", "3", "4"),
        ("welcome", "1", "3"),
        ("dag/run 2/task", "1", "1"),
    ]
    assert listed[2]["last"] == "2020-01-02T03:04:05+00:00"
    target.run("DELETE FROM omnichat_invites")
    assert run("campaigns")[1] == "There are no campaigns in the table omnichat_invites.\n"


def test_old_campaigns_are_pruned_and_those_with_doubts_are_kept(run, target: Target) -> None:
    assert run("prune", "--older-than", "1d", "--yes") == (0, "Nothing to delete: no campaign is that old.\n", "")
    long_ago = f"{datetime.now(UTC) - timedelta(days=500):%Y-%m-%d %H:%M:%S}"
    target.run("UPDATE omnichat_invites SET claimed_at = ?, ended_at = ?", long_ago, long_ago)
    code, shown, _ = run("prune", "--older-than", "400d", "--yes")
    assert (code, "stays: settle its doubts" in shown) == (0, True)
    assert len(outcomes(target)) == 5
    code, shown, _ = run("prune", "--older-than", "57w", "--with-doubts", "--yes")
    assert (code, "5 invites deleted." in shown) == (0, True)
    assert outcomes(target) == {}


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("status", "nobodys"), 1, "There are no invites of the campaign 'nobodys' in the table omnichat_invites"),
        (
            ("status", "welcome", "--table", "elsewhere"),
            1,
            "The ledger table elsewhere of connection",
        ),
        (("status", "welcome", "--table", "no name"), 1, "must be named table or schema.table"),
        (("settle", "welcome", "--as", "sent", "--why", "x", "--yes"), 1, "Say who: --row-key, --number or --reason"),
        (("settle", "welcome", "--as", "sent", "--why", "x", "--row-key", "C-9"), 1, "'C-9' is not in the campaign"),
        (
            ("settle", "welcome", "--as", "sent", "--why", "x", "--reason", "timeout"),
            1,
            "in doubt for the reason 'timeout'; the reasons are: claim_never_ended, read_timeout",
        ),
        (("settle", "welcome", "--row-key", "C-2", "--as", "maybe", "--why", "x"), 2, "invalid choice: 'maybe'"),
        (("settle", "welcome", "--row-key", "C-2", "--as", "sent"), 2, "--why"),
        (("forget", "079 302 00 00", "--yes"), 1, "country"),
        (("prune", "--older-than", "0d"), 2, "is not an age; write days or weeks"),
        (("nothing",), 2, "nothing"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(run, arguments: tuple[str, ...], code: int, says: str) -> None:
    ended, shown, error = run(*arguments)
    assert ended == code
    assert says in error
    assert "INVITES" not in shown
    assert "Traceback" not in error
    assert not any(number in error for number in NUMBERS)


def test_a_connection_that_is_not_there_is_told_in_a_line(run, monkeypatch) -> None:
    monkeypatch.delenv("_AIRFLOW_PROCESS_CONTEXT")
    code, _, error = run("status", "welcome", "--conn-id", "nowhere")
    assert code == 1
    assert "nowhere" in error


def test_the_connection_must_be_named(run, monkeypatch) -> None:
    monkeypatch.delenv("OMNICHAT_LEDGER_CONN_ID")
    code, _, error = run("status", "welcome")
    assert code == 2
    assert "--conn-id" in error


def test_every_command_that_changes_something_takes_yes() -> None:
    changing = {command.name for command in COMMANDS if command.changes}
    assert changing == {"settle", "forget", "prune", "upgrade"}
