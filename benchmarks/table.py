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
from benchmarks.pace import Cell, Found
from benchmarks.pages import PageCost

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"


def comparison(table: Table, notes: Sequence[str]) -> str:
    """Write the comparison as Markdown: medians over the rounds."""
    lines = [
        "| latency | | invites | seconds | invites/s | of raw aiohttp | CPU ms an invite | peak memory, MiB |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for (latency, name), runs in sorted(table.items(), key=lambda item: item[0][0]):
        seconds = median(cost.seconds for cost in runs.costs)
        invites = runs.costs[0].invites
        cpu = 1000 * median(cost.cpu / cost.invites for cost in runs.costs)
        peak = median(cost.peak for cost in runs.costs)
        more = median(cost.peak - cost.before for cost in runs.costs)
        memory = f"{peak:.0f} (+{more:.0f})" if runs.costs[0].before else f"{peak:.0f}"
        share = 100 * median(runs.shares) if runs.shares else 100
        lines.append(
            f"| {latency} ms | {name} | {invites:,} | {seconds:.2f} | {_short(invites / seconds)} |"
            f" {share:.{0 if share >= 2 else 1}f} % | {_short(cpu)} | {memory} |"
        )
    rounds = max(len(runs.costs) for runs in table.values())
    return "\n".join([*lines, "", _where(f"medians of {rounds} rounds, one for `HttpHook` and `HttpOperator`"), *notes])


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


def pace(found: Mapping[Cell, Found], former: Mapping[Cell, Found]) -> str:
    """Write what tasks make of what is allowed, beside what they made of it before."""
    lines = [
        "| vendor | tasks | allowed/s | refused by chance | used | before | refused above the limit | before |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    pairs = [(cell, cell._replace(retry_after=1.0)) for cell in found if cell.retry_after is None]
    for pair in sorted(pairs, key=lambda pair: (pair[0].vendor != "token bucket", *pair[0][:4])):
        cell = pair[0]
        used, used_before = (_both([of[each].used for each in pair]) for of in (found, former))
        refused, refused_before = (_both([of[each].refused for each in pair]) for of in (found, former))
        lines.append(
            f"| {cell.vendor} | {cell.tasks} | {cell.limit:,} | {cell.by_chance:.0%} | {used} | {used_before} |"
            f" {refused} | {refused_before} |"
        )
    reached, reached_before = (
        sum(cell.used >= 0.6 and cell.refused < 0.05 for cell in of.values()) for of in (found, former)
    )
    aim = "at least 60 % used and less than 5 % refused above the limit"
    return "\n".join([*lines, "", f"Of {len(found)} cases {reached} have {aim}; before, {reached_before}."])


def pages(costs: Sequence[PageCost]) -> str:
    """Write what pages cost."""
    lines = [
        "| page, with 1,000,000 rows in result files | seconds | peak of the server's memory rose by, MiB |",
        "| --- | ---: | ---: |",
    ]
    lines += [f"| {cost.name} | {cost.seconds:.3f} | {cost.more:.0f} |" for cost in costs]
    return "\n".join([*lines, "", _where("medians of 7")])


def _both(shares: Sequence[float]) -> str:
    return " / ".join(f"{100 * share:.{0 if share >= 0.1 else 1}f}" for share in shares) + " %"


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
        f"{datetime.now(UTC):%d %B %Y}; {what}; {os.cpu_count()} cores for client and server together, load"
        f" {os.getloadavg()[2]:.1f} over the last 15 minutes; Python {platform.python_version()}, {', '.join(parts)}."
    )
