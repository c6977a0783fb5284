"""What the outage proof has left behind: the words of ledger and tasks, and the vendor's log to judge them by."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from outage_measures import MIB, Measures

if TYPE_CHECKING:
    from outage_services import PostgreSQL

# A claim without an outcome, whose task was killed.
_NO_END = ("claim_never_ended", "not_known")
_NOT_REACHED = ("not_sent", "held")
MOST_OPEN = 4
"""Claims that a kill may leave open, for each connection of the tasks that it hits."""


class Claim(NamedTuple):
    """A row of the ledger; *task* is ``dag/run/task/map index``, *is_settled* if another may have settled it."""

    recipient: str
    task: str
    outcome: str | None
    reason: str
    is_settled: bool


@dataclass
class Event:
    """
    Something that was done to the campaign, and the claims that were open then, of the tasks that it hits.

    :param load: of the machine, in the minute before.
    """

    name: str
    at: datetime
    accepted: int
    load: float
    open: Mapping[str, str] = field(default_factory=dict)
    is_kill: bool = False


@dataclass
class Judge:
    """
    Compares what ledger and tasks say with what the vendor has accepted.

    :param invites: people of the list.
    :param connections: of each task.
    :param are_doubts_repeated: so that none may be left at the end.
    """

    metadata: PostgreSQL
    ledger: PostgreSQL
    measures: Measures
    invites: int
    connections: int
    are_doubts_repeated: bool = False
    events: list[Event] = field(default_factory=list)

    def note(self, name: str) -> Event:
        """Note that something is done now."""
        self.events.append(Event(name, datetime.now(UTC), self.measures.outbox.read(), os.getloadavg()[0]))
        return self.events[-1]

    def note_kill(self, event: Event, task: str = "") -> str:
        """Note which claims a kill finds open, of tasks whose name contains *task*; return how many, for people."""
        seen = {recipient for each in self.events for recipient in each.open}
        event.is_kill = True
        event.open = {
            claim.recipient: claim.task
            for claim in self.claims("AND outcome IS NULL")
            if f"/{task}" in claim.task and claim.recipient not in seen
        }
        return f"{len(event.open)} claims of {len(set(event.open.values()))} tasks are open"

    def claims(self, which: str = "") -> list[Claim]:
        """Read the ledger."""
        columns = "recipient, claimed_by, outcome, coalesce(reason_code, 'not_known'), settled_as IS NOT NULL"
        invites = f"SELECT {columns} FROM omnichat_invites WHERE campaign = 'outage' {which}"
        return [Claim(*row) for row in self.ledger.query(invites)]

    def runs_ended(self, count: int) -> bool:
        """Return whether so many runs of the DAG are over."""
        ended = self.metadata.query("SELECT count(*) FROM dag_run WHERE state IN ('success', 'failed')")
        return bool(ended[0][0] >= count)

    def print_report(self) -> int:
        """Print what happened; return 0, 1 if a promise was broken, 2 if only the goal for doubts was missed."""
        claims, manifests, accepted = self.claims(), self._manifests(), self.measures.outbox.accepted
        by_outcome = Counter(claim.outcome or "open" for claim in claims)
        doubts = {claim.recipient: claim for claim in claims if claim.outcome in (None, "unknown")}
        twice = sum(count > 1 for count in accepted.values())
        missing = self.invites - len(claims)
        not_reached = missing + sum(by_outcome[outcome] for outcome in _NOT_REACHED)
        self._print_events(doubts)
        self._print_runs(manifests)
        print("\n| people | |\n| --- | ---: |")
        _row("invites of the list", f"{self.invites:,}")
        _row("SMS, by the vendor's log", f"{accepted.total():,}")
        _row("**people with two SMS**", twice)
        for outcome, count in sorted(by_outcome.items()):
            _row(f"{outcome}, by the ledger", f"{count:,}")
        _row("**not reached** after the last try", not_reached)
        self._print_doubts(doubts, accepted)
        self._print_measures(len(claims))
        broken = [
            text
            for text, is_kept in (
                ("somebody got two SMS", not twice),
                ("somebody was not reached", not not_reached),
                ("claims are still open", not by_outcome["open"]),
                ("somebody is in doubt", not (self.are_doubts_repeated and doubts)),
                ("ledger and vendor disagree", not _untrue(claims, accepted)),
                ("tasks and ledger disagree", not list(self._misled(claims, manifests))),
            )
            if not is_kept
        ]
        for line in (*_untrue(claims, accepted), *self._misled(claims, manifests)):
            print(f"  {line}")
        print(f"\n{'BROKEN: ' + '; '.join(broken) if broken else 'Every promise was kept: nobody got two SMS.'}")
        beyond = list(self._beyond())
        goal = f"at most {MOST_OPEN} claims open for each connection of the tasks that a kill hits"
        print(f"MISSED, the goal of {goal}:" if beyond else f"The goal was met: {goal}.", *beyond, sep="\n  ")
        return 1 if broken else 2 if beyond else 0

    def _print_events(self, doubts: Mapping[str, Claim]) -> None:
        began = self.measures.outbox.began
        print(
            "\n| at | load | accepted | what happened | open claims, of so many tasks | of these in doubt at the end |"
        )
        print("| ---: | ---: | ---: | --- | ---: | ---: |")
        for event in self.events:
            tasks = len(set(event.open.values()))
            told = (f"{len(event.open)}, {tasks}", _never_ended(event.open, doubts)) if event.is_kill else ("", "")
            at = f"{event.at.timestamp() - began:.0f} s"
            print(f"| {at} | {event.load:.0f} | {event.accepted:,} | {event.name} | {told[0]} | {told[1]} |")

    def _print_runs(self, manifests: Mapping[str, Mapping[str, Any]]) -> None:
        states = self.metadata.query("SELECT run_id, task_id, state, try_number FROM task_instance")
        print("\n| run | tasks | rows | how they ended |\n| --- | --- | ---: | --- |")
        for run in sorted({run for run, *_ in states}):
            tasks = Counter(f"{task} {state} in try {tries}" for of, task, state, tries in states if of == run)
            mine = [manifest for name, manifest in manifests.items() if f"/{run}/" in name]
            ended: Counter[str] = Counter()
            for manifest in mine:
                ended.update({outcome: count for outcome, count in manifest["counts"].items() if count})
                for reason in manifest["reasons"]:
                    ended[f"{reason['outcome']}: {reason['code']}"] += reason["count"]
            print(f"| {run} | {_counts(tasks)} | {sum(each['rows'] for each in mine):,} | {_counts(ended)} |")

    def _print_doubts(self, doubts: Mapping[str, Claim], accepted: Mapping[str, int]) -> None:
        outbox = self.measures.outbox
        seen = {recipient for event in self.events for recipient in event.open}
        open_ends = [claim for claim in doubts.values() if claim.reason in _NO_END]
        killed = [claim for claim in open_ends if claim.recipient in seen]
        ended = [claim for claim in open_ends if claim.recipient not in seen]
        others = [claim for claim in doubts.values() if claim.reason not in _NO_END]
        for name, group in (("these kills", killed), ("Airflow, which killed tasks", ended), ("the vendor", others)):
            reasons = _counts(Counter(claim.reason for claim in group)) or "none"
            sent = sum(bool(accepted[claim.recipient]) for claim in group)
            _row(f"in doubt by {name}: {reasons}", f"{len(group)}, of which {sent} were sent")
        _row("connections that the vendor broke by chance", outbox.broken)
        _row("repeats that the vendor recognised", outbox.suppressed)

    def _print_measures(self, invites: int) -> None:
        measures, outbox = self.measures, self.measures.outbox
        table, index, row = self.ledger.query(
            "SELECT pg_table_size('omnichat_invites'), pg_indexes_size('omnichat_invites'),"
            " sum(pg_column_size(invite)) FROM omnichat_invites invite"
        )[0]
        print("\n| measured | |\n| --- | ---: |")
        _row("seconds from the first request to the last", f"{outbox.seconds:.0f}")
        _row(
            "accepted a second: all the time, in the best ten seconds",
            f"{invites / outbox.seconds:,.0f}, {outbox.best:,.0f}",
        )
        _row("requests that the vendor refused with 429", f"{outbox.refused / max(outbox.requests, 1):.1%}")
        _row(
            "ledger, bytes an invite: the row, its table, its index",
            f"{row / invites:.0f}, {table / invites:.0f}, {index / invites:.0f}",
        )
        _row(
            "ledger, transactions a second, invites a transaction",
            f"{measures.commits / outbox.seconds:,.0f}, {invites / max(measures.commits, 1):.1f}",
        )
        _row(
            "ledger, write-ahead log: bytes an invite, MiB a second",
            f"{measures.wal_bytes / invites:,.0f}, {measures.wal_bytes / MIB / outbox.seconds:.2f}",
        )
        print("\n| processes | CPU seconds | CPU ms an invite | largest, MiB | all at once, MiB |")
        print("| --- | ---: | ---: | ---: | ---: |")
        for name, usage in sorted(measures.usage.items()):
            each = f"{usage.seconds:.0f} | {usage.seconds * 1000 / invites:.2f}"
            print(f"| {name} | {each} | {usage.largest / MIB:.0f} | {usage.together / MIB:.0f} |")

    def _manifests(self) -> dict[str, Mapping[str, Any]]:
        rows = self.metadata.query(
            "SELECT dag_id, run_id, task_id, map_index, value FROM xcom WHERE key = 'return_value'"
        )
        return {"/".join(map(str, name)): manifest for *name, manifest in rows}

    def _misled(self, claims: Iterable[Claim], manifests: Mapping[str, Mapping[str, Any]]) -> Iterable[str]:
        """Yield what a task says that is not so."""
        in_ledger: dict[str, Counter[str]] = defaultdict(Counter)
        settled: Counter[str] = Counter()
        rows: Counter[str] = Counter()
        for claim in claims:
            in_ledger[claim.task][claim.outcome or "open"] += 1
            settled[claim.task] += claim.is_settled
        for name, manifest in manifests.items():
            counts, mine = Counter(manifest["counts"]), in_ledger[name]
            rows[name.split("/")[1]] += manifest["rows"]
            if manifest["rows"] != sum(counts.values()):
                yield f"{name}: {manifest['rows']} rows, and outcomes of {sum(counts.values())}"
            # Another run may have settled doubts of this task since.
            missing = mine["accepted"] - counts["accepted"]
            if not 0 <= missing <= settled[name] or counts["rejected"] != mine["rejected"]:
                yield f"{name}: says {dict(counts)}, and the ledger {dict(mine)}"
            if counts["unknown"] < mine["unknown"]:
                yield f"{name}: says that {counts['unknown']} are in doubt, and the ledger {mine['unknown']}"
        for run, count in rows.items():
            if count != self.invites:
                yield f"The tasks of {run} tell of {count} rows"
        for name in in_ledger.keys() - manifests.keys():
            yield f"{name}: tells nothing, and has claims in the ledger"

    def _beyond(self) -> Iterable[str]:
        """Yield kills that left more open than they may."""
        for event in self.events:
            most = MOST_OPEN * self.connections * len(set(event.open.values()))
            if len(event.open) > most:
                yield f"{event.name}: {len(event.open)} open claims, more than {most}"


def _never_ended(recipients: Iterable[str], doubts: Mapping[str, Claim]) -> int:
    return sum(recipient in doubts and doubts[recipient].reason in _NO_END for recipient in recipients)


def _untrue(claims: Iterable[Claim], accepted: Mapping[str, int]) -> list[str]:
    """Return what the ledger says that is not so."""
    known = {claim.recipient: claim.outcome for claim in claims}
    untrue = {
        "accepted, and the vendor has not": [
            to for to, outcome in known.items() if outcome == "accepted" and not accepted[to]
        ],
        "not sent or rejected, and the vendor has accepted them": [
            to for to, outcome in known.items() if outcome in ("not_sent", "rejected") and accepted[to]
        ],
        "unknown to the ledger, and the vendor has accepted them": [to for to in accepted if to not in known],
    }
    return [f"{len(numbers)} {text}" for text, numbers in untrue.items() if numbers]


def _counts(counter: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counter.items()))


def _row(name: str, value: object) -> None:
    print(f"| {name} | {value} |")
