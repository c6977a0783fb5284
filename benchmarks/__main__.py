"""``python -m benchmarks compare``, ``growth``, ``pace`` and ``pages``."""

from __future__ import annotations

import argparse
import signal
import sys

from benchmarks import pace, table
from benchmarks.compare import LATENCIES, Comparison
from benchmarks.growth import grow
from benchmarks.pages import measure_pages


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--no-page", action="store_true", help="leave docs/explanation/performance.md as it is")
    commands = parser.add_subparsers(dest="command", required=True)
    compare = commands.add_parser("compare", help="this provider beside other ways to send")
    compare.add_argument("--rounds", type=int, default=3, help="turns of each contender (default: 3)")
    compare.add_argument("--scale", type=float, default=1.0, help="multiplies the number of invites")
    compare.add_argument("--latency", type=int, action="append", choices=LATENCIES, help="repeatable; default: all")
    compare.add_argument("--only", action="append", default=[], help="part of a contender's name; repeatable")
    growth = commands.add_parser("growth", help="time and memory by the length of the list")
    growth.add_argument("--million", action="store_true", help="1,000,000 rows, too: some ten minutes more")
    growth.add_argument("--rows", type=int, action="append", help="instead of 1,000, 10,000 and 100,000; repeatable")
    growth.add_argument("--results", action="store_true", help="with result files")
    commands.add_parser("pace", help="what tasks make of what a vendor allows, in a model")
    commands.add_parser("pages", help="what the tab Invites costs Airflow's API server with a million rows")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that what was started is stopped, too
    if given.command == "compare":
        comparison = Comparison(given.rounds, given.scale, tuple(given.latency or LATENCIES), given.only)
        text = table.comparison(comparison.run(), comparison.notes)
    elif given.command == "pace":
        text = table.pace(pace.measure_all())
    elif given.command == "pages":
        text = table.pages(measure_pages(1_000_000))
    else:
        sizes = given.rows or [1_000, 10_000, 100_000, *([1_000_000] if given.million else [])]
        costs = grow(sizes, given.results)
        text = table.growth([(cost.invites, cost.seconds, cost.cpu, cost.before, cost.peak) for cost in costs])
    print(text)
    is_partial = given.command == "compare" and (given.only or given.latency or given.scale != 1)
    if not given.no_page and not is_partial and not getattr(given, "rows", None):
        table.put_into_page(given.command, text)


if __name__ == "__main__":
    main()
