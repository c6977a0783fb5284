"""What happened when: some totals over time, in bounded space however long a campaign takes."""

from __future__ import annotations

from typing import Any

_MOST_SAMPLES = 120


class Timeline:
    """Keeps totals at moments that are equally far apart; the distance doubles whenever there are too many of them."""

    def __init__(self, *names: str) -> None:
        self._names = names
        self._samples: list[tuple[float, tuple[int, ...]]] = []
        self._every_seconds = 1.0

    def add(self, seconds: float, *totals: int) -> None:
        """Take the totals of a moment, or leave them where the last ones are too near."""
        if self._samples and seconds - self._samples[-1][0] < self._every_seconds * 0.9:
            return
        self._samples.append((seconds, totals))
        if len(self._samples) >= _MOST_SAMPLES:  # with that of now they are as many
            self._samples = self._samples[::2]
            self._every_seconds *= 2

    def to_json(self, seconds: float, *totals: int) -> dict[str, list[Any]]:
        """Give ``seconds`` and each of the totals as lists of equal length."""
        # Two moments that are too near to each other would make a rate of noise.
        until = seconds - self._every_seconds * 0.9
        samples = [*(sample for sample in self._samples if sample[0] < until), (seconds, totals)]
        columns = zip(*(values for _, values in samples), strict=True)
        return {
            "seconds": [round(at, 1) for at, _ in samples],
            **{name: list(column) for name, column in zip(self._names, columns, strict=True)},
        }
