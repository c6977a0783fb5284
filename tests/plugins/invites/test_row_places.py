"""Rows are read where the task itself has written them: its XCom may have been edited."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_omnichat.campaign.model.pages import PageError, PageQuery
from airflow_provider_omnichat.campaign.model.place import Place
from airflow_provider_omnichat.plugins.invites.sending_tasks import row_place
from airflow_provider_omnichat.tasks.places import folder_names
from tests.support.plugin_tasks import sending

OWN = "invites/run/invite"


def place(root: Path, results: str, **rendered: str) -> Place:
    task = sending(results=results, rendered={"results_path": f"{root}", **rendered})
    assert task is not None
    return row_place(task)


@pytest.mark.parametrize("resend_key", ["", "second try"])
def test_the_own_folder_is_read(tmp_path: Path, resend_key: str) -> None:
    own = tmp_path.joinpath(*folder_names(OWN, resend_key))
    own.mkdir(parents=True)
    found = place(tmp_path, str(own), resend_key=resend_key)
    assert found.location == str(own)
    assert found.page(PageQuery()) == ([], None, None)


@pytest.mark.parametrize(
    "results",
    [
        "{root}/theirs/run/invite",
        "{root}/invites/run/invite/../../../theirs/run/invite",
        "{root}/theirs/invites/run/invite",
        "{root}/../invites/run/invite",
        "{root}",
        "{root}/",
        "",
        "/invites/run/invite",
        "file://{root}/invites/run/invite",
        "http://elsewhere/invites/run/invite",
    ],
)
def test_no_other_folder_is_read(tmp_path: Path, results: str) -> None:
    for folder in ("theirs/run/invite", "theirs/invites/run/invite", "invites/run/invite", "../invites/run/invite"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    found = place(tmp_path, results.format(root=tmp_path))
    with pytest.raises(PageError, match="cannot be told from others"):
        found.page(PageQuery())
