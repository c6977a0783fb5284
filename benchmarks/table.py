"""Tables for people, on the screen and in the documentation."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

from benchmarks.compare import Table
from benchmarks.contenders import Runs
from benchmarks.pace import Cell, Found
from benchmarks.pages import PageCost

PAGE = Path(__file__).parent.parent / "docs" / "explanation" / "performance.md"


def comparison(table: Table, notes: Sequence[str]) -> str:
    """Write the comparison as Markdown: medians over the rounds, a line for each contender."""
    latencies = sorted({latency for latency, _ in table})
    heads = [f"{latency} ms" for latency in latencies]
    lines = [
        f"| invites/s at a latency of | {' | '.join(heads)} | CPU ms an invite | peak memory, MiB |",
        f"| --- | {' | '.join('---:' for _ in heads)} | --- | ---: |",
    ]
    for name in dict.fromkeys(name for _, name in table):
        runs = [table[latency, name] for latency in latencies if (latency, name) in table]
        cpu = ", ".join(_short(1000 * median(cost.cpu / cost.invites for cost in run.costs)) for run in runs)
        peak = max(median(cost.peak for cost in run.costs) for run in runs)
        more = max(median(cost.peak - cost.before for cost in run.costs) for run in runs)
        memory = f"{peak:.0f} (+{more:.0f})" if runs[0].costs[0].before else f"{peak:.0f}"
        lines.append(f"| {name} | {' | '.join(_pace(run) for run in runs)} | {cpu} | {memory} |")
    rounds = max(len(runs.costs) for runs in table.values())
    return "\n".join([*lines, "", _where(f"medians of {rounds} rounds, one for `HttpHook` and `HttpOperator`"), *notes])


def _pace(runs: Runs) -> str:
    """Write invites a second, and their share of what raw aiohttp reached in the same round."""
    pace = runs.costs[0].invites / median(cost.seconds for cost in runs.costs)
    share = 100 * median(runs.shares) if runs.shares else 100
    return f"{_short(pace)} ({share:.{0 if share >= 2 else 1}f} %)"


def growth(rows: Sequence[tuple[int, float, float, float, float]]) -> str:
    """Write how time and memory grow: invites, seconds, CPU seconds, memory before, peak."""
    lines = [
        "| rows | seconds | invites/s | ms an invite | CPU ms an invite | peak memory, MiB | of it while sending |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for invites, seconds, cpu, before, peak in rows:
        lines.append(
            f"| {invites:,} | {seconds:.1f} | {_short(invites / seconds)} | {1000 * seconds / invites:.2f} |"
            f" {1000 * cpu / invites:.2f} | {peak:.0f} | {peak - before:.0f} |"
        )
    return "\n".join([*lines, "", _where("one run each")])


def pace(found: Mapping[Cell, Found]) -> str:
    """Write what tasks use of what a vendor allows, and how much is refused above it."""
    kinds = list(dict.fromkeys((cell.vendor, cell.by_chance) for cell in found))
    heads = [f"{vendor}, {chance:.0%} by chance" if chance else vendor for vendor, chance in kinds]
    lines = [f"| tasks, allowed/s | {' | '.join(heads)} |", f"| --- |{' --- |' * len(kinds)}"]
    for tasks, limit in sorted({(cell.tasks, cell.limit) for cell in found}):
        pairs = [
            [found[Cell(vendor, tasks, limit, chance, after)] for after in (None, 1.0)] for vendor, chance in kinds
        ]
        cells = [f"{_both([one.used for one in pair])}, {_both([one.refused for one in pair])}" for pair in pairs]
        lines.append(f"| {tasks}, {limit:,} | {' | '.join(cells)} |")
    reached = sum(one.used >= 0.6 and one.refused < 0.05 for one in found.values())
    aim = "at least 60 % used and less than 5 % refused above the limit"
    return "\n".join([*lines, "", f"Of {len(found)} cases {reached} have {aim}."])


def pages(costs: Sequence[PageCost]) -> str:
    """Write what pages cost."""
    lines = [
        "| page, with 1,000,000 rows in result files | seconds | peak of the server's memory rose by, MiB |",
        "| --- | ---: | ---: |",
    ]
    lines += [f"| {cost.name} | {cost.seconds:.3f} | {cost.more:.0f} |" for cost in costs]
    return "\n".join([*lines, "", _where("medians of 7")])


def _both(shares: Sequence[float]) -> str:
    return "/".join(f"{100 * share:.{0 if share >= 0.1 else 1}f}" for share in shares)


def put_into_page(marker: str, text: str) -> None:
    """Replace what stands between the markers of that name in the page."""
    page = PAGE.read_text()
    begin, end = f"<!-- {marker}: made by make, do not edit -->", f"<!-- end of {marker} -->"
    made = re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: f"{begin}\n{text}\n{end}", page, flags=re.DOTALL)
    PAGE.write_text(made)


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.1f}" if number >= 10 else f"{number:.2f}"


def _where(what: str) -> str:
    parts = [f"{name} {version(name)}" for name in ("apache-airflow", "aiohttp", "requests")]
    parts.append(f"apache-airflow-providers-http {version('apache-airflow-providers-http')}")
    return (
        f"{datetime.now(UTC):%d %B %Y}; {what}; {os.cpu_count()} cores, load {os.getloadavg()[2]:.1f};"
        f" Python {platform.python_version()}, {', '.join(parts)}."
    )
