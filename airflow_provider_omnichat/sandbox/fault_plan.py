"""Which fault the next invite meets: a script first, then chance, from one seeded generator."""

from __future__ import annotations

import random
import secrets
from collections import deque
from collections.abc import Iterable, Mapping
from itertools import islice

from airflow_provider_omnichat.sandbox.faults import FaultError, SetFault, parse_rated, parse_scripted, set_fault

FaultSpecs = Mapping[str, float] | Iterable[str]
"""Either ``{"429": 0.1}`` or ``["429:0.1", "latency:0.5:2"]``."""


class FaultPlan:
    """Draws the faults. The same seed and the same order of requests give the same faults."""

    def __init__(self, faults: FaultSpecs = (), seed: int | None = None) -> None:
        self._script: deque[tuple[str, SetFault | None]] = deque()
        self.reseed(secrets.randbits(32) if seed is None else seed)
        self.set(faults)

    def reseed(self, seed: int) -> None:
        """Start the generator again from ``seed``."""
        self.seed = seed
        self._random = random.Random(seed)  # noqa: S311 - reproducible on purpose, guards nothing

    def set(self, faults: FaultSpecs) -> None:
        """Replace the faults that are drawn by chance.

        :raises FaultError: when one is not acceptable, or the rates add up to more than 1; nothing is changed then
        """
        if isinstance(faults, str):
            raise FaultError(f"faults are a list or a mapping, not the string {faults!r}")
        if isinstance(faults, Mapping):
            active = tuple(set_fault(name, rate) for name, rate in faults.items())
        else:
            active = tuple(parse_rated(spec) for spec in faults)
        total = sum(each.rate for each in active)
        if total > 1 + 1e-9:
            raise FaultError(f"the rates add up to {total:g}; an invite meets one fault at most, so 1 is the most")
        self.active = active

    def script(self, specs: Iterable[str]) -> None:
        """Append to the queue that the next invites take their faults from, one each.

        :raises FaultError: when one is not acceptable; nothing is appended then
        """
        if isinstance(specs, str):
            raise FaultError(f"a script is a list, not the string {specs!r}")
        self._script.extend([(spec, parse_scripted(spec)) for spec in specs])

    def clear(self) -> None:
        """No faults and no script; the seed starts again."""
        self.active = ()
        self._script.clear()
        self.reseed(self.seed)

    def next(self) -> SetFault | None:
        """Return what the next invite meets; None for nothing. A scripted one draws no chance."""
        if self._script:
            return self._script.popleft()[1]
        if not self.active:
            return None
        # One draw decides among all, so that each rate is exactly the share of invites that meet it.
        drawn = self._random.random()
        for each in self.active:
            drawn -= each.rate
            if drawn < 0:
                return each
        return None

    def upcoming(self, most: int) -> list[str]:
        """Return what is next in the script, ``most`` entries of it."""
        return [spec for spec, _ in islice(self._script, most)]

    def as_json(self) -> dict[str, object]:
        """Return what is set, as plain JSON values."""
        return {
            "faults": [each.as_json() for each in self.active],
            "script": [spec for spec, _ in self._script],
            "seed": self.seed,
        }
