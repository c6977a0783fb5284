"""Ids of ours: the same for the same invite, another one for any other, and no clue to the number."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_omnichat.api.identity import identity_key, identity_of
from airflow_provider_omnichat.api.privacy import scrub
from airflow_provider_omnichat.api.sms import SmsInvite
from airflow_provider_omnichat.campaign.model.message_ids import MessageIds, mark_of, with_mark

INVITE = SmsInvite("41793026727", "Hi, https://t.me/acme", "https://t.me/acme", account="https://api.example.com")
KEY = b"k" * 16


def named(invite: SmsInvite = INVITE, campaign: str = "welcome", key: bytes = KEY) -> Any:
    return MessageIds(key, campaign).named(invite, identity_key(campaign, identity_of(invite.to)))


def test_an_id_is_the_same_in_every_try_and_fits_the_vendor_and_the_logs():
    assert named().message_id == named().message_id
    assert re.fullmatch(r"[a-p]{32}-[a-p]{8}", named().message_id)
    assert scrub(named().message_id) == named().message_id


@pytest.mark.parametrize(
    "other",
    [
        named(replace(INVITE, to="41793026728")),
        named(campaign="welcome#again"),
        named(key=b"j" * 16),
    ],
    ids=["person", "campaign or resend_key", "ledger"],
)
def test_another_invite_has_another_id(other):
    assert other.message_id.split("-")[0] != named().message_id.split("-")[0]


@pytest.mark.parametrize(
    "changed",
    [{"message": "Hi"}, {"sender": "ACME"}, {"account": "https://other.example.com"}, {"shorten_links": True}],
)
def test_what_is_sent_changes_only_the_second_part(changed):
    first, second = (each.message_id.split("-") for each in (named(), named(replace(INVITE, **changed))))
    assert first[0] == second[0]
    assert first[1] != second[1]


def test_the_vendors_reports_show_the_campaign_and_no_number():
    assert named(campaign="welcome-2026").campaign == "welcome-2026"
    shown = named(campaign="for +41793026727").campaign
    assert "3026727" not in shown
    assert shown != named(campaign="for +41793026728").campaign
    assert len(named(campaign="x" * 400).campaign) <= 255


def test_a_mark_stands_for_what_was_sent_before():
    before = named(replace(INVITE, message="Hi")).message_id
    assert with_mark(named().message_id, mark_of(before)) == before
    assert (mark_of(None), mark_of(""), mark_of("1215f543ab19"), with_mark("a-b", None)) == (None, None, None, None)
