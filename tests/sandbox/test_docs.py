"""The page of the docs about the sandbox says what the code says."""

from pathlib import Path

from airflow_provider_omnichat.sandbox.faults import FAULTS, described_argument

DOCS = Path(__file__).parents[2] / "docs" / "reference" / "sandbox.md"


def test_docs_have_the_fault_table_of_the_code():
    """On a failure, paste the table into the page."""
    table = ["| fault | what the client sees | ARG | accepted |", "| --- | --- | --- | --- |"]
    table += [
        f"| `{fault.name}` | {fault.does} | {described_argument(fault)} | {'**yes**' if fault.accepted else 'no'} |"
        for fault in FAULTS.values()
    ]
    assert "\n".join(table) in DOCS.read_text(encoding="utf-8")
