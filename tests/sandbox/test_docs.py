"""The page of the docs about the sandbox says what the code says."""

from pathlib import Path

from airflow_provider_omnichat.sandbox.fault_table import as_markdown

DOCS = Path(__file__).parents[2] / "docs" / "reference" / "sandbox.md"


def test_docs_have_the_fault_table_of_the_code():
    """On a failure, paste the output of ``as_markdown()`` into the page."""
    assert as_markdown() in DOCS.read_text(encoding="utf-8")
