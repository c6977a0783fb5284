"""Charts as SVG, coloured by the style sheet; they consist of numbers, so that nothing in them needs escaping."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from markupsafe import Markup

from airflow_provider_omnichat.plugins.invites.outcomes import Share
from airflow_provider_omnichat.plugins.invites.sending_tasks import Timeline

_WIDTH, _HEIGHT = 720, 150
_LEFT, _BOTTOM, _TOP = 46, 22, 10


def outcome_bar(found: Sequence[Share]) -> Markup:
    """Draw one bar, as wide as the page, with a piece for each outcome."""
    pieces, x = [], 0.0
    for share in found:
        width = max(share.percent * 10, 2.0)
        known = share.outcome if share.outcome.isidentifier() else "other"
        pieces.append(f'<rect class="fill-{known}" x="{x:.1f}" width="{width:.1f}" y="0" height="24"/>')
        x += width
    return Markup(  # noqa: S704 - numbers and our own names
        f'<svg class="bar" viewBox="0 0 {max(x, 1):.1f} 24" preserveAspectRatio="none" aria-hidden="true"'
        f' focusable="false">{"".join(pieces)}</svg>'
    )


def rate_chart(timeline: Timeline) -> Markup:
    """Draw invites a second: accepted ones as an area, those that the vendor refused for now as a line."""
    moments = timeline.seconds
    accepted, refused = _rates(moments, timeline.accepted), _rates(moments, timeline.refused_for_now)
    if len(accepted) < 2:
        return Markup("")
    top, seconds = _rounded_up(max(*accepted, *refused, 1.0)), max(moments[-1], 1.0)

    def point(at: float, rate: float) -> str:
        x = _LEFT + (_WIDTH - _LEFT - 8) * at / seconds
        y = _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - rate / top)
        return f"{x:.1f},{y:.1f}"

    middles = [(first + second) / 2 for first, second in pairwise(moments)]
    line = " ".join(point(at, rate) for at, rate in zip(middles, accepted, strict=True))
    area = f"{point(middles[0], 0)} {line} {point(middles[-1], 0)}"
    refusals = " ".join(point(at, rate) for at, rate in zip(middles, refused, strict=True))
    grid = "".join(_grid_line(top * share, point(0, top * share), point(seconds, top * share)) for share in (0, 0.5, 1))
    ticks = "".join(
        f'<text class="tick" x="{point(seconds * share, 0).partition(",")[0]}" y="{_HEIGHT - 6}"'
        f' text-anchor="{anchor}">{duration(seconds * share)}</text>'
        for share, anchor in ((0, "start"), (0.5, "middle"), (1, "end"))
    )
    second_line = f'<polyline class="line-refused" points="{refusals}"/>' if any(refused) else ""
    return Markup(  # noqa: S704 - only numbers
        f'<svg class="rate" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"'
        f' aria-label="Accepted invites a second over time, at most {max(accepted):.0f}">'
        f"<title>Accepted invites a second over time</title>{grid}"
        f'<polygon class="area-accepted" points="{area}"/><polyline class="line-accepted" points="{line}"/>'
        f"{second_line}{ticks}</svg>"
    )


def sparkline(timeline: Timeline) -> Markup:
    """Draw the same very small, for a line of a table."""
    rates = _rates(timeline.seconds, timeline.accepted)
    if len(rates) < 2:
        return Markup("")
    top, last = max(*rates, 1.0), max(timeline.seconds[-1], 1.0)
    middles = [(first + second) / 2 for first, second in pairwise(timeline.seconds)]
    pairs = zip(middles, rates, strict=True)
    points = " ".join(f"{110 * at / last:.1f},{22 - 20 * rate / top:.1f}" for at, rate in pairs)
    return Markup(  # noqa: S704 - only numbers
        '<svg class="spark" viewBox="0 0 110 24" aria-hidden="true" focusable="false">'
        f'<polyline class="line-accepted" points="{points}"/></svg>'
    )


def _rates(seconds: Sequence[float], totals: Sequence[int]) -> list[float]:
    steps = zip(pairwise(seconds), pairwise(totals), strict=True)
    return [max(second - first, 0) / max(end - start, 0.1) for (start, end), (first, second) in steps]


def _grid_line(value: float, start: str, end: str) -> str:
    (x1, y1), (x2, y2) = start.split(","), end.split(",")
    return (
        f'<line class="grid" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>'
        f'<text class="tick" x="{_LEFT - 8}" y="{float(y1) + 4:.1f}" text-anchor="end">{value:,.4g}</text>'
    )


def _rounded_up(value: float) -> float:
    scale = 1.0
    while scale * 10 <= value:
        scale *= 10
    return next(step * scale for step in (1, 1.2, 1.6, 2, 3, 4, 6, 8, 10) if step * scale >= value)


def duration(seconds: float) -> str:
    """Write a time in the unit that fits."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
