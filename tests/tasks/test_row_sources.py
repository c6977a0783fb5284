"""Opt-out lists from everything that can give one: each is read completely, or refused."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_omnichat.campaign.checks.opt_outs import SuppressionError
from airflow_provider_omnichat.tasks.row_sources import read_opt_outs
from tests.support.list_sources import EVERY_KIND, Sources


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sources:
    return Sources(tmp_path, monkeypatch)


def opt_outs(given: Any, to_column: str = "to") -> int:
    found = read_opt_outs(given, to_column, None, None, logging.getLogger(__name__))
    assert found is not None
    return len(found)


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_a_rounded_number_or_the_error_of_a_spreadsheet_refuses_the_list_with_its_row(sources, kind):
    good = [{"to": "+41793026727", "why": "asked"}, {"to": "n/a", "why": ""}, {"to": None, "why": "left"}]
    assert opt_outs(sources.given(kind, good)) == 1
    for bad, said in (("#REF!", "what a spreadsheet shows for an error"), (41793030000.0, "float that was rounded")):
        with pytest.raises(SuppressionError, match=f"1 entries cannot be read .*entry 4: to: .*{said}"):
            opt_outs(sources.given(kind, [*good, {"to": bad, "why": "asked"}]))


def test_a_file_with_an_exponent_in_json_is_refused(tmp_path):
    (tmp_path / "out.jsonl").write_text('{"to": 4.1793026727e10}\n')
    with pytest.raises(
        SuppressionError, match="entry 1: to: comes from a column of 32-bit floats, or was written with"
    ):
        opt_outs(str(tmp_path / "out.jsonl"))


@pytest.mark.parametrize(
    "text",
    [
        "Kundennr;Mobil;Name, Vorname, Titel\n1;+41793026727;Muster, Ada, Dr.\n",
        ",Mobil,Grund\n0,+41793026727,x\n",
        ",Telefon\n0,+41793026727\n",
    ],
)
def test_a_file_is_split_so_that_the_column_is_there_and_the_index_of_a_data_frame_is_no_column(tmp_path, text):
    (tmp_path / "out.csv").write_text(text)
    assert opt_outs(str(tmp_path / "out.csv"), "Mobil") == 1
