"""Names of result tables, and the statements that make them."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_omnichat.campaign.results.table_statements import ResultTableSql


@pytest.mark.parametrize("name", ["results", "mart.results", "db.mart.results_2026"])
def test_names_of_tables(name):
    assert f"INTO {name} (" in ResultTableSql(name, "other", "%s").insert(1)


@pytest.mark.parametrize("name", ["", "a.b.c.d", "re sults", 'x"; --', "2026", "a..b", "x" * 64])
def test_what_is_no_name_of_a_table_is_refused(name):
    with pytest.raises(ValueError, match="results_table must be"):
        ResultTableSql(name, "other", "%s")


def test_the_page_shows_the_table_as_it_is_made():
    page = (Path(__file__).parents[3] / "docs/reference/results.md").read_text()
    assert f"```sql\n{ResultTableSql('invited', 'postgresql', '%s').create()};\n```" in page
