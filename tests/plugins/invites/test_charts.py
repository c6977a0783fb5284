"""Charts as SVG: well-formed, without a script, and of numbers alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_omnichat.plugins.invites.charts import outcome_bar, rate_chart, sparkline
from airflow_provider_omnichat.plugins.invites.outcomes import shares
from airflow_provider_omnichat.plugins.invites.sending_tasks import Timeline

COUNTS = st.dictionaries(
    st.sampled_from(["accepted", "unknown", "rejected", '"><script>', "x y", "ünder"]), st.integers(0, 10**12)
)
TOTALS = st.lists(st.integers(0, 10**12))


def parsed(svg: str) -> ElementTree.Element:
    root = ElementTree.fromstring(svg)
    assert {element.tag.rpartition("}")[2] for element in root.iter()} <= {
        *("svg", "rect", "title", "line", "text", "polyline", "polygon")
    }
    assert not [name for element in root.iter() for name in element.attrib if name.startswith("on") or name == "style"]
    return root


def numbers(root: ElementTree.Element) -> Iterator[float]:
    for element in root.iter():
        for name in ("x", "y", "x1", "x2", "y1", "y2", "width", "height", "points"):
            yield from map(float, re.findall(r"[^ ,]+", element.attrib.get(name, "")))


def timeline(seconds: list[float], accepted: list[int], refused: list[int] | None = None) -> Timeline:
    none = [0] * len(seconds)
    return Timeline(seconds=seconds, accepted=accepted, rejected=none, unknown=none, refused_for_now=refused or none)


@st.composite
def timelines(draw: st.DrawFn) -> Timeline:
    seconds = sorted(draw(st.lists(st.floats(0, 10**9), max_size=120)))
    totals = st.lists(st.integers(0, 10**12), min_size=len(seconds), max_size=len(seconds))
    return timeline(seconds, draw(totals), draw(totals))


class TestBar:
    def test_parts_are_as_wide_as_their_share_and_in_order(self) -> None:
        root = parsed(outcome_bar(shares({"accepted": 750, "rejected": 200, "unknown": 50})))
        parts = [(part.attrib["class"], float(part.attrib["x"]), float(part.attrib["width"])) for part in root]
        assert parts == [("fill-unknown", 0, 50), ("fill-accepted", 50, 750), ("fill-rejected", 800, 200)]
        assert root.attrib["viewBox"] == "0 0 1000.0 24"

    def test_one_in_a_million_can_be_seen(self) -> None:
        (first, _) = parsed(outcome_bar(shares({"accepted": 10**6, "unknown": 1})))
        assert (first.attrib["class"], first.attrib["width"]) == ("fill-unknown", "2.0")

    def test_nothing_is_an_empty_bar(self) -> None:
        assert list(parsed(outcome_bar([]))) == []

    @given(COUNTS)
    def test_whatever_the_counts_it_is_whole_and_nothing_stands_beside_it(self, counts: dict[str, int]) -> None:
        root = parsed(outcome_bar(shares(counts)))
        assert len(root) == sum(1 for count in counts.values() if count)
        width = float(root.attrib["viewBox"].split()[2])
        assert all(0 <= float(part.attrib["x"]) + float(part.attrib["width"]) <= width + 0.2 for part in root)
        assert all(re.fullmatch(r"fill-\w+", part.attrib["class"]) for part in root)


class TestRate:
    def test_rates_are_of_the_time_between_two_moments(self) -> None:
        svg = rate_chart(timeline([0, 1, 3], [0, 10, 50]))
        assert "at most 20" in svg
        (line,) = [each for each in parsed(svg) if each.attrib.get("class") == "line-accepted"]
        (_, first), (_, second) = [point.split(",") for point in line.attrib["points"].split()]
        assert (float(first), float(second)) == (69.0, 10.0), "half as high, from below"

    @pytest.mark.parametrize("refused", [None, [0, 3, 3]])
    def test_refusals_are_a_line_where_there_are_some(self, refused: list[int] | None) -> None:
        assert ("line-refused" in rate_chart(timeline([0, 1, 2], [0, 1, 2], refused))) is (refused is not None)

    @pytest.mark.parametrize("seconds", [[], [0.5], [0, 1]])
    def test_too_few_moments_are_no_chart(self, seconds: list[float]) -> None:
        assert rate_chart(timeline(seconds, [1] * len(seconds))) == ""
        assert sparkline(timeline(seconds, [1] * len(seconds))) == ""

    @pytest.mark.parametrize(
        ("last", "ticks"), [(90, ["0 s", "45 s", "90 s"]), (3600, ["0 s", "30 min", "60 min"]), (86400, ["12.0 h"])]
    )
    def test_the_time_is_written_as_people_do(self, last: float, ticks: list[str]) -> None:
        svg = rate_chart(timeline([0, last / 2, last], [0, 1, 2]))
        assert all(f">{tick}</text>" in svg for tick in ticks)

    @pytest.mark.parametrize(
        ("rate", "top"), [(0, "1"), (1, "1"), (3, "3"), (7, "8"), (10, "10"), (11, "12"), (950, "1,000")]
    )
    def test_the_highest_line_is_a_round_number(self, rate: int, top: str) -> None:
        assert f">{top}</text>" in rate_chart(timeline([0, 1, 2], [0, rate, 2 * rate]))

    @given(timelines())
    def test_whatever_the_totals_everything_is_inside(self, moments: Timeline) -> None:
        for svg, width, height in ((rate_chart(moments), 720, 150), (sparkline(moments), 110, 24)):
            if svg:
                assert all(-1 <= number <= width + 1 for number in numbers(parsed(svg)))
                assert all(
                    0 <= float(point.split(",")[1]) <= height
                    for element in parsed(svg)
                    for point in element.attrib.get("points", "").split()
                )

    def test_totals_that_fall_are_no_rate_below_nothing(self) -> None:
        assert "at most 0" in rate_chart(timeline([0, 1, 2], [9, 5, 0]))
