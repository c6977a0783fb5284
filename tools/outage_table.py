"""What the outage proof has left behind: the ledger's word, and the server's log to judge it by."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from outage_services import PostgreSQL

# The faults of the server leave these; a kill or an outage leaves a claim without an outcome.
_NO_END = ("claim_never_ended", "not_known")


@dataclass(frozen=True)
class _Claim:
    recipient: str
    task: str
    outcome: str | None
    reason: str


@dataclass
class Judge:
    """
    Compares what the ledger says with what the server has accepted.

    :param outbox: the server's log: a JSON line for each request.
    :param invites: people of the list.
    """

    metadata: PostgreSQL
    ledger: PostgreSQL
    outbox: Path
    invites: int
    _open_after_kill: set[str] = field(default_factory=set)

    def note_kill(self, task: str) -> int:
        """Remember the claims that a killed worker has left open; give how many."""
        # Those of the task that is killed: the other worker goes on.
        claims = self._claims()
        self._open_after_kill = {
            claim.recipient for claim in claims if claim.outcome is None and f"/{task}/" in f"{claim.task}/"
        }
        return len(self._open_after_kill)

    def has_ended(self) -> bool:
        """Return whether the DAG run is over."""
        return self.metadata.query("SELECT 1 FROM dag_run WHERE state IN ('success', 'failed')") != []

    def print_table(self) -> bool:
        """Print all outcomes; return whether nobody got two SMS, and no row was lost."""
        requests = [json.loads(line) for line in self.outbox.read_text().splitlines()]
        accepted = Counter(str(request["to"]) for request in requests if request["accepted"])
        seconds = (_time(requests[-1]) - _time(requests[0])).total_seconds()
        claims = self._claims()
        twice = sum(count > 1 for count in accepted.values())
        lost = self.invites - len(claims)
        unrecorded = set(accepted) - {claim.recipient for claim in claims}
        untrue = [
            claim.recipient
            for claim in claims
            if (claim.outcome == "accepted" and not accepted[claim.recipient])
            or (claim.outcome in ("not_sent", "rejected") and accepted[claim.recipient])
        ]
        refused = sum(request["http_status"] == 429 for request in requests)
        print(f"\n| {self.invites:,} invites in 8 tasks on two workers | |\n| --- | --- |")
        _row("seconds from the first request to the last", f"{seconds:.0f}")
        _row("accepted a second", f"{accepted.total() / seconds:.1f}")
        _row("requests answered with 429", f"{refused / len(requests):.1%}")
        _row("tasks", self._task_states())
        _row("outcomes in the ledger", _counts(Counter(claim.outcome or "NULL" for claim in claims)))
        self._print_doubts(claims, accepted)
        _row("rows without an outcome in the ledger", lost)
        _row("accepted by the server and not in the ledger", len(unrecorded))
        _row("accepted in one place, not sent in the other", len(untrue))
        _row("numbers that got two SMS", twice)
        return not (twice or lost or unrecorded or untrue)

    def _print_doubts(self, claims: list[_Claim], accepted: Counter[str]) -> None:
        doubts = [claim for claim in claims if claim.outcome in (None, "unknown")]
        open_ends = [claim for claim in doubts if claim.outcome is None or claim.reason in _NO_END]
        killed = [claim for claim in open_ends if claim.recipient in self._open_after_kill]
        outage = [claim for claim in open_ends if claim.recipient not in self._open_after_kill]
        others = [claim for claim in doubts if claim not in open_ends]
        _row("claims that are still NULL", sum(claim.outcome is None for claim in claims))
        for name, group in (("the kill", killed), ("the outage", outage), ("the server's faults", others)):
            sent = sum(bool(accepted[claim.recipient]) for claim in group)
            reasons = _counts(Counter(claim.reason for claim in group))
            _row(
                f"doubts after {name}", f"{len(group)}, of which {sent} were sent" + (f" ({reasons})" if group else "")
            )

    def _claims(self) -> list[_Claim]:
        rows = self.ledger.query("SELECT to_jsonb(omnichat_invites) FROM omnichat_invites")
        return [_claim(row) for (row,) in rows]

    def _task_states(self) -> str:
        sql = "SELECT task_id, state, try_number FROM task_instance"
        return _counts(Counter(f"{task} {state} in try {tries}" for task, state, tries in self.metadata.query(sql)))


def _claim(row: dict[str, Any]) -> _Claim:
    # An older ledger has no codes, only texts.
    reason = row.get("reason_code") or ("no code" if row["error"] else "not_known")
    return _Claim(row["recipient"], row["claimed_by"], row["outcome"], reason)


def _time(request: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(request["time"])


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counter.items()))


def _row(name: str, value: object) -> None:
    print(f"| {name} | {value} |")
