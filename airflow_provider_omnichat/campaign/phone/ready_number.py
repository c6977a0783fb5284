"""Numbers that need no parsing: most of most lists."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

import phonenumbers
from phonenumbers import PhoneMetadata

from airflow_provider_omnichat.api.identity import in_use
from airflow_provider_omnichat.campaign.phone.location import country_code_of

# A number, and the end of another: 0664/1234567-68.
AND_ANOTHER = re.compile(r"\d{6,} ?- ?\d{1,3}$")
# As in most lists: international, nothing but digits, at most with single spaces or dashes between them.
_INTERNATIONAL = re.compile(r"(\+|00)?([1-9](?:[ -]?[0-9]){6,14})")
# Beyond so many digits, a number with gaps may be two.
_MOST_DIGITS_WITH_GAPS = 12


def ready_digits(number: object, region: str | None) -> str | None:
    """Return the digits of an international number that parsing would leave unchanged; None for any other."""
    # Parsing takes ten times as long as everything else that is done for a row before it is sent.
    if not isinstance(number, str) or not (found := _INTERNATIONAL.fullmatch(number)) or (region and found[1] != "+"):
        return None
    digits = found[2].replace(" ", "").replace("-", "")
    if len(digits) < len(found[2]) and (len(digits) > _MOST_DIGITS_WITH_GAPS or AND_ANOTHER.search(number)):
        return None
    plan = _plan(digits[:3])
    return digits if plan and plan.leaves(digits) and in_use(digits) == digits else None


@dataclass(frozen=True, slots=True)
class _Plan:
    """The part of a country's numbering plan that decides whether parsing changes a number."""

    code_length: int
    lengths: frozenset[int]  # without the country code
    pattern: re.Pattern[str]  # asked only for a number that begins with a zero, which seldom belongs to it
    prefix: re.Pattern[str] | None  # dialled before a number inside the country; parsing removes it

    def leaves(self, digits: str) -> bool:
        """Return whether parsing finds a possible number in these digits and changes none of them."""
        if len(digits) - self.code_length not in self.lengths:
            return False
        if digits[self.code_length] == "0" and not self.pattern.fullmatch(digits, self.code_length):
            return False
        dialled = self.prefix.match(digits, self.code_length) if self.prefix else None
        return dialled is None or (not dialled[0] and dialled.lastindex is None)


@cache
def _plan(first_three: str) -> _Plan | None:
    """Return the plan of the country whose code the three digits begin with; None if there is no such code."""
    code = country_code_of(first_three)
    if not code:
        return None
    region = phonenumbers.region_code_for_country_code(int(code))
    metadata = PhoneMetadata.metadata_for_region_or_calling_code(int(code), region)
    if metadata is None or (general := metadata.general_desc) is None:
        return None
    lengths = frozenset(general.possible_length).difference(general.possible_length_local_only)
    prefix = metadata.national_prefix_for_parsing
    pattern = re.compile(general.national_number_pattern or "")
    return _Plan(len(code), lengths, pattern, re.compile(prefix) if prefix else None)
