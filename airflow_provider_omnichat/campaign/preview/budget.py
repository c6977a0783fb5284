"""How large a batch may be."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from airflow_provider_omnichat.api.errors import OmnichatError

_LONGEST_CURRENCY = 20


class BudgetError(OmnichatError, ValueError):
    """The list is larger than the budget allows; nothing was sent."""


@dataclass(frozen=True, slots=True)
class Size:
    """What a list amounts to: people to invite, now or when their window opens, and the estimated SMS segments."""

    invites: int
    segments: int


@dataclass(frozen=True, slots=True)
class Budget:
    """
    How large a batch may be.

    :param max_invites: people invited at most.
    :param max_segments: SMS segments at most, by estimate.
    :param price_per_segment: the price of one segment, in any currency.
    :param max_cost: the highest cost in that currency, by estimate.
    :param currency: its name, for people; nothing is converted.
    """

    max_invites: int | None = None
    max_segments: int | None = None
    price_per_segment: float | None = None
    max_cost: float | None = None
    currency: str | None = None

    def __post_init__(self) -> None:
        for name in ("max_invites", "max_segments"):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < 0):
                raise ValueError(f"{name} must be a whole number, 0 or more, or None, not {value!r}")
        for name in ("price_per_segment", "max_cost"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0):
                raise ValueError(f"{name} must be a number, 0 or more, or None, not {value!r}")
        currency: Any = self.currency
        if currency is not None and not (isinstance(currency, str) and 0 < len(currency.strip()) <= _LONGEST_CURRENCY):
            raise ValueError(f"currency must be a name such as 'EUR', or None, not {currency!r}")
        if self.max_cost is not None and self.price_per_segment is None:
            raise ValueError("max_cost needs price_per_segment, to know what an SMS costs")

    @classmethod
    def of(cls, given: object) -> Budget:
        """Return the budget of an operator's argument; None sets no limit."""
        if given is None or isinstance(given, Budget):
            return given or cls()
        raise ValueError(f"budget must be a Budget, such as Budget(max_invites=10_000), or None, not {given!r}")

    @property
    def is_set(self) -> bool:
        return any(limit is not None for limit in (self.max_invites, self.max_segments, self.max_cost))

    def check(self, size: Size) -> None:
        """Raise BudgetError for a list beyond the limits; it names each one, by how much, and what to do."""
        problems = []
        if self.max_invites is not None and size.invites > self.max_invites:
            problems.append(f"{size.invites:,} people would be invited, max_invites is {self.max_invites:,}")
        if self.max_segments is not None and size.segments > self.max_segments:
            problems.append(f"about {size.segments:,} SMS would be sent, max_segments is {self.max_segments:,}")
        if self.max_cost is not None and self.price_per_segment is not None:
            # In decimals: three times 0.1 is not above 0.3.
            cost = size.segments * Decimal(str(self.price_per_segment))
            if cost > Decimal(str(self.max_cost)):
                name = f" {self.currency.strip()}" if self.currency else ""
                problems.append(f"it would cost about {cost:,.2f}{name}, max_cost is {self.max_cost:,.2f}{name}")
        if problems:
            raise BudgetError(f"{'; '.join(problems)}. Check that it is the right list; if it is, raise the limit")
