"""What happened when, in bounded space."""

from __future__ import annotations

from itertools import pairwise

import pytest

from airflow_provider_omnichat.campaign.engine.timeline import Timeline


def played(seconds: float, every: float = 1.0, rate: int = 7) -> Timeline:
    timeline = Timeline("accepted")
    for moment in range(int(seconds / every)):
        timeline.add(moment * every, int(moment * every) * rate)
    return timeline


@pytest.mark.parametrize("hours", [0.01, 0.05, 1, 10, 72])
def test_hours_have_120_moments_at_most_and_they_are_about_equally_far_apart(hours: float) -> None:
    seconds = hours * 3600
    shown = played(seconds).to_json(seconds, int(seconds) * 7)
    assert len(shown["seconds"]) == len(shown["accepted"]) <= 120
    assert len(shown["seconds"]) >= min(55, seconds)
    assert (shown["seconds"][0], shown["seconds"][-1]) == (0, round(seconds, 1))
    gaps = [second - first for first, second in pairwise(shown["seconds"])][:-1]
    assert max(gaps) <= 1.2 * min(gaps)
    assert shown["accepted"] == [int(at) * 7 for at in shown["seconds"]]


def test_moments_too_near_to_each_other_make_no_rate_of_noise() -> None:
    timeline = played(10, every=0.01)
    seconds = timeline.to_json(9.999, 70)["seconds"]
    assert all(second - first >= 0.85 for first, second in pairwise(seconds))
    assert len(seconds) >= 9


def test_now_stands_at_the_end_once() -> None:
    timeline = Timeline("accepted", "rejected")
    assert timeline.to_json(0.2, 3, 1) == {"seconds": [0.2], "accepted": [3], "rejected": [1]}
    timeline.add(0.0, 0, 0)
    timeline.add(1.0, 2, 1)
    assert timeline.to_json(1.0, 4, 1) == {"seconds": [0.0, 1.0], "accepted": [0, 4], "rejected": [0, 1]}
    assert timeline.to_json(5.0, 9, 1) == {"seconds": [0.0, 1.0, 5.0], "accepted": [0, 2, 9], "rejected": [0, 1, 1]}
