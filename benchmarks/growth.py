"""How time and memory grow with the list: the batch operator with its default ledger, each size in a new process."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.airflow_home import BenchmarkAirflow
from benchmarks.contenders import Course, in_dag_test
from benchmarks.invites import write_list
from benchmarks.measure import Cost
from benchmarks.vendor import Vendor


def grow(sizes: list[int], with_results: bool) -> list[Cost]:
    """Send lists of these sizes to a server that answers at once."""
    costs = []
    with TemporaryDirectory(prefix="omnichat-benchmark-") as name:
        home = Path(name)
        vendor = Vendor(home)
        first = BenchmarkAirflow(home / "airflow")
        first.migrate({"omnichat_default": vendor.omnichat_connection})
        for size in sizes:
            airflow = first.copy(home / str(size))
            dag_id = "benchmark_batch_results" if with_results else "benchmark_batch"
            contender = in_dag_test(f"{size} rows", dag_id, airflow, results=f"file://{airflow.home / 'results'}")
            path = write_list(home / f"{size}.csv", size)
            contender.start()
            try:
                contender.wait_until_ready()
                with vendor.running(0):
                    cost = contender.run(Course(path, size, 0), vendor)
                    vendor.check(size)
            finally:
                contender.stop()
            costs.append(cost)
            print(
                f"{size:,} rows: {cost.seconds:.1f} s, {size / cost.seconds:.0f}/s, peak {cost.peak:.0f} MiB, of it"
                f" {cost.peak - cost.before:.0f} while sending",
                file=sys.stderr,
                flush=True,
            )
    return costs
