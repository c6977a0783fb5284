"""Which fault the next invite meets: a script first, then chance, from one seeded generator."""

from __future__ import annotations

import random
import secrets
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

from airflow_provider_omnichat.sandbox.faults import ARGUMENTS, FAULTS, Fault
from airflow_provider_omnichat.sandbox.statuses import REFUSALS

FaultSpecs = Mapping[str, float] | Iterable[str]
"""Either ``{"429": 0.1}`` or ``["429:0.1", "latency:0.5:2"]``."""


class FaultError(ValueError):
    """A fault that cannot be set; the text says what is wrong with it."""


@dataclass(frozen=True)
class SetFault:
    """A fault with its argument, and the share of invites that meet it."""

    fault: Fault
    arg: str
    rate: float = 1.0

    @property
    def percentage(self) -> str:
        """The rate as it was given, such as ``0.3%``."""
        return f"{self.rate * 100:.10g}%"

    def as_json(self) -> dict[str, object]:
        """Return it as the control requests show it."""
        return {"name": self.fault.name, "rate": self.rate, "arg": self.arg or None}


def _rated(spec: str) -> SetFault:
    """Read ``NAME[:RATE[:ARG]]``, the form of ``--fault``."""
    name, _, rest = spec.partition(":")
    rate, _, arg = rest.partition(":")
    return _set_fault(name, rate or 1.0, arg)


def _scripted(spec: str) -> SetFault | None:
    """Read ``NAME[:ARG]``, the form of a script; ``ok`` is no fault."""
    name, _, arg = spec.partition(":")
    return None if name == "ok" else _set_fault(name, 1.0, arg)


def _set_fault(name: str, rate: float | str, arg: str = "") -> SetFault:
    fault = FAULTS.get(name)
    if fault is None:
        raise FaultError(f"there is no fault {name!r}; the faults are: {', '.join(FAULTS)}")
    try:
        share = float(rate)
    except (TypeError, ValueError):
        raise FaultError(f"fault {name}: the rate {rate!r} is not a number") from None
    if not 0 <= share <= 1:
        raise FaultError(f"fault {name}: the rate {rate} is not between 0 and 1")
    arg = arg or fault.default
    if fault.argument is None and arg:
        raise FaultError(f"fault {name} takes no argument, got {arg!r}")
    if fault.argument is not None and not ARGUMENTS[fault.argument](arg):
        known = f"; known ids: {', '.join(map(str, REFUSALS))}" if fault.argument == "status id" else ""
        raise FaultError(f"fault {name}: {arg!r} is not a valid {fault.argument}{known}")
    return SetFault(fault, arg, share)


class FaultPlan:
    """Draws the faults. The same seed and the same order of requests give the same faults."""

    def __init__(self, faults: FaultSpecs = (), seed: int | None = None) -> None:
        self._script: deque[tuple[str, SetFault | None]] = deque()
        self.set(faults, secrets.randbits(32) if seed is None else seed)

    def reseed(self, seed: int) -> None:
        """Start the generator again from ``seed``."""
        self.seed = seed
        self._random = random.Random(seed)  # noqa: S311 - reproducible on purpose, guards nothing

    def set(self, faults: FaultSpecs, seed: int | None = None) -> None:
        """Replace the faults that are drawn by chance: all of them, or none if one raises FaultError."""
        if isinstance(faults, str):
            raise FaultError(f"faults are a list or a mapping, not the string {faults!r}")
        if isinstance(faults, Mapping):
            active = tuple(_set_fault(name, rate) for name, rate in faults.items())
        else:
            active = tuple(_rated(spec) for spec in faults)
        total = sum(each.rate for each in active)
        if total > 1 + 1e-9:
            raise FaultError(f"the rates add up to {total:g}; an invite meets one fault at most, so 1 is the most")
        self.active = active
        if seed is not None:
            self.reseed(seed)

    def script(self, specs: Iterable[str]) -> None:
        """Append what the next invites meet, one each: all of them, or none if one raises FaultError."""
        if isinstance(specs, str):
            raise FaultError(f"a script is a list, not the string {specs!r}")
        self._script.extend([(spec, _scripted(spec)) for spec in specs])

    def clear(self) -> None:
        """Remove faults and script, and start the generator again."""
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
        """Return what is set, as the control requests show it."""
        return {
            "faults": [each.as_json() for each in self.active],
            "script": [spec for spec, _ in self._script],
            "seed": self.seed,
        }
