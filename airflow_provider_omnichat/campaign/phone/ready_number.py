"""Numbers that are ready as they stand: most of most lists."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

import phonenumbers
from phonenumbers import PhoneMetadata

from airflow_provider_omnichat.campaign.phone.country_codes import country_code_of
from airflow_provider_omnichat.campaign.phone.identity import in_use

# A number, and the end of another: 0664/1234567-68.
AND_ANOTHER = re.compile(r"\d{6,} ?- ?\d{1,3}$")
# A number as most lists have it: international, nothing but digits, with spaces or dashes between them at most.
_INTERNATIONAL = re.compile(r"(\+|00)?([1-9](?:[ -]?[0-9]){6,14})")
# Beyond so many digits, a number with gaps may be two.
_MOST_DIGITS_WITH_GAPS = 12


def ready_digits(number: object, region: str | None) -> str | None:
    """
    Give the digits of a number that is international already and that parsing would leave as it is; else None.

    Parsing takes ten times as long as all else that is done for a row before it is sent.
    """
    if not isinstance(number, str) or not (found := _INTERNATIONAL.fullmatch(number)) or (region and found[1] != "+"):
        return None
    digits = found[2].replace(" ", "").replace("-", "")
    if len(digits) < len(found[2]) and (len(digits) > _MOST_DIGITS_WITH_GAPS or AND_ANOTHER.search(number)):
        return None
    plan = _plan(digits[:3])
    return digits if plan and plan.leaves(digits) and in_use(digits) == digits else None


@dataclass(frozen=True, slots=True)
class _Plan:
    """
    What of a country's numbering plan decides whether a number stays as it is.

    :param code_length: digits of the country code.
    :param lengths: that a number can have, without the country code.
    :param pattern: of the numbers that there are; asked where one begins with a zero, which seldom belongs to it.
    :param prefix: what people dial before a number inside the country; parsing takes it away.
    """

    code_length: int
    lengths: frozenset[int]
    pattern: re.Pattern[str]
    prefix: re.Pattern[str] | None

    def leaves(self, digits: str) -> bool:
        """Tell whether parsing finds a possible number in these digits and changes none of them."""
        if len(digits) - self.code_length not in self.lengths:
            return False
        if digits[self.code_length] == "0" and not self.pattern.fullmatch(digits, self.code_length):
            return False
        dialled = self.prefix.match(digits, self.code_length) if self.prefix else None
        return dialled is None or (not dialled[0] and dialled.lastindex is None)


@cache
def _plan(first_three: str) -> _Plan | None:
    """Give the plan of the country whose code the three digits begin with; None where there is no such code."""
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
