"""The value in place of a phone number, converted to plain text: digits, perhaps a plus, and separators."""

from __future__ import annotations

import re
import struct
import unicodedata
from decimal import Decimal
from numbers import Integral, Real

from airflow_provider_omnichat.api.errors import InvalidInviteError
from airflow_provider_omnichat.api.privacy import mask_number
from airflow_provider_omnichat.api.reasons import Reason, ReasonCode
from airflow_provider_omnichat.campaign.model.field_values import RoundedFloat, is_blank
from airflow_provider_omnichat.campaign.phone.location import country_code_of

_LONGEST_INPUT = 40
_FEWEST_DIGITS_OF_A_WHOLE_NUMBER = 7
_MOST_DIGITS_OF_A_FLOAT = 15
_APOSTROPHES = ("'", "\u2019")
# Invisible characters outside Unicode's category Cf: joiners, fillers and variation selectors.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)
# Wide forms and other dashes.
_PLAIN = str.maketrans(
    {
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u30fc\uff0d", "-"),
        **{"\uff0b": "+", "\uff0e": ".", "\uff0f": "/", "\uff08": "(", "\uff09": ")", "\uff3b": "[", "\uff3d": "]"},
    }
)
# What belongs before the first digit: a plus and brackets. The parser would ignore anything else.
_BEGINNING = re.compile(r"[(\[ ]*\+?[(\[ ]*([^\d]?)")
_OF_A_NUMBER = frozenset("0123456789+-.()[]/ ")
_BETWEEN_NUMBERS = frozenset(",;#*&|~\uff0c\uff1b\u3001\u2053\u223c\uff5e")
_NEXT_CELL = re.compile(r"[\t\n\v\f\r\x1c-\x1f\x85\u2028\u2029]")
# A number that a spreadsheet took for a quantity: 4.17930E+10.
_SHORTENED = re.compile(r"[+-]?\d+(?:[.,]\d+)?[eE]\+?\d+")
# A failed formula, in any language, or a column that is too narrow: #REF!, #DIV/0!, ####.
_SHEET_ERROR = re.compile(r"#(?:#*|[^\W\d_][\w/]*[!?]?)")
# The dot of these is a decimal point: a dot that separates comes after an area code with its 0.
_WHOLE = re.compile(r"(\+?(?:[1-9]\d{3,}|\d{7,}))\.0+")
_FRACTION = re.compile(r"(?:\+?\d{7,}|[1-9]\d{3,}|0)\.\d+")
# Zeros after a dot that are not a group like the others: 0171.1234567.0, but not 06.12.34.56.00.
_ZEROS_AT_THE_END = re.compile(r".*\. ?(0+)")
# Before a slash comes an area code, too short for a number: 0171/1234567, +43 (0)664/1234567.
_LONGEST_AREA_CODE = 5
_REST_OF_NUMBER = re.compile(r" ?[1-9](?:[ .-]?\d){4,}")
_OR_ANOTHER = re.compile(r"\d{4,} ?- ?\d{4,}")
_NO_PHONE_NUMBER = "is not a phone number"
_ONLY = "only digits, a plus and separators are taken"
_AS_TEXT = "give it as a text or as an integer (BIGINT, NUMERIC), so that no digit is lost"
# Smaller integers are exact in 32 bits. Larger ones are written with 7 to 9 digits, or with all of them.
_FIRST_INEXACT = 2**24
_DIGITS_OF_FLOAT32 = (7, 8, 9, 17)
# The digits that MySQL's FLOAT keeps, and the most that any other does. One zero at the end of ten digits is chance.
_FEWEST_LEFT = 6
_MOST_LEFT = 9


def plain_text(number: object) -> str:
    """Return the digits of a value, perhaps after a plus, and separators: spaces, dashes, dots, brackets."""
    text = _visible(_as_text(number), number)
    if text[:1] in _APOSTROPHES:
        text = text[1:].lstrip()
    if text[:4].lower() == "tel:":
        text = text[4:].lstrip()
    if not text:
        raise InvalidInviteError.of("to", ReasonCode.NO_NUMBER, "is blank")
    if len(text) > _LONGEST_INPUT:
        what = f"{len(text)} characters; give one number only"
        raise InvalidInviteError.of("to", ReasonCode.NOT_A_NUMBER, _NO_PHONE_NUMBER, what)
    text = _without_decimal_tail(text, number)
    _check_characters(text, number)
    return _without_slash(text, number)


def reads_as_number(text: str) -> bool:
    """Return whether a text is a phone number or several, perhaps shortened by a spreadsheet."""
    plain = text.strip().lower().removeprefix("tel:")
    if any(character.isalpha() for character in plain):
        return bool(_SHORTENED.fullmatch(plain))
    return sum(map(str.isdigit, plain)) >= _FEWEST_DIGITS_OF_A_WHOLE_NUMBER


def invalid_number(number: object, code: ReasonCode, problem: str) -> InvalidInviteError:
    """Build the error for a number, which is shown masked; *problem* says what is wrong and what to do."""
    return InvalidInviteError(Reason(code, problem, field="to", subject=mask_number(number)))


def more_than_one(number: object) -> InvalidInviteError:
    """Build the error for a value with more than one number, which is shown masked."""
    return invalid_number(
        number, ReasonCode.SEVERAL_NUMBERS, "is more than one plain number; give one number, without an extension"
    )


def _not_a_number(number: object, problem: str) -> InvalidInviteError:
    return invalid_number(number, ReasonCode.NOT_A_NUMBER, problem)


def _as_text(number: object) -> str:
    if is_blank(number):
        raise InvalidInviteError.of("to", ReasonCode.NO_NUMBER, "is missing")
    if isinstance(number, str):
        return number
    if isinstance(number, RoundedFloat):
        raise _lost("comes from a column of 32-bit floats, or was written with an exponent")
    if isinstance(number, bool) or not isinstance(number, Real | Decimal):
        problem = f"must be one phone number as a text, is a {type(number).__name__}"
        raise InvalidInviteError.of("to", ReasonCode.NOT_A_NUMBER, problem)
    if isinstance(number, Integral):
        if abs(int(number)) >= 10**_LONGEST_INPUT:  # Python would not even write it
            what = f"more than {_LONGEST_INPUT} digits"
            raise InvalidInviteError.of("to", ReasonCode.NOT_A_NUMBER, _NO_PHONE_NUMBER, what)
        return str(int(number))
    if not isinstance(number, float | Decimal):
        # Of 32 bits, such as numpy's float32: it has digits, and not all of them are those of the number.
        raise _lost(f"is a {type(number).__name__}, which cannot hold a phone number")
    digits = _whole_digits(number)
    if digits is None:
        raise _lost(f"is a {type(number).__name__} that is no whole number, or has an exponent")
    return digits


def _lost(problem: str) -> InvalidInviteError:
    return InvalidInviteError.of("to", ReasonCode.NUMBER_LOST_DIGITS, f"{problem}; {_AS_TEXT}")


def _unrounded(whole: str) -> str:
    """Return the digits of a former float; raise if they may be another number rounded to 32 bits or nine digits."""
    digits = str(int(whole))
    significant = len(digits.rstrip("0"))
    most_left = min(_MOST_LEFT, len(digits) - 2) if len(digits) > _MOST_LEFT else _FEWEST_LEFT
    is_rounded = significant <= most_left < len(digits)
    if not is_rounded and _FIRST_INEXACT <= int(digits) < 10**_MOST_DIGITS_OF_A_FLOAT:
        (single,) = struct.unpack("f", struct.pack("f", int(digits)))
        is_rounded = float(digits) in {float(f"{single:.{count}g}") for count in _DIGITS_OF_FLOAT32}
    if is_rounded:
        raise _lost("looks like a float that was rounded, to 32 bits or to nine digits or fewer")
    return whole


def _whole_digits(number: float | Decimal) -> str | None:
    if not isinstance(number, Decimal):
        is_whole = number.is_integer() and abs(number) < 10**_MOST_DIGITS_OF_A_FLOAT
        return _unrounded(str(int(number))) if is_whole else None
    exponent = number.as_tuple().exponent  # above 0, the last digits were zeros or are lost
    is_short = isinstance(exponent, int) and exponent <= 0 <= number.adjusted() < _LONGEST_INPUT
    return str(int(number)) if is_short and number == int(number) else None


def _visible(text: str, given: object) -> str:
    """Remove invisible characters, and write digits, dashes, brackets and spaces in one way."""
    if text.isascii() and text.isprintable():
        return text.strip()
    text = text.strip()
    if _NEXT_CELL.search(text):
        problem = "has a tab or a line break in it, as between two numbers; give one number"
        raise invalid_number(given, ReasonCode.SEVERAL_NUMBERS, problem)
    text = text.replace("\u200b", " ")  # a space without a width, and so perhaps a gap between two numbers
    seen = "".join(c for c in _INVISIBLE.sub("", text) if unicodedata.category(c) != "Cf")
    plain = (" " if c.isspace() else str(unicodedata.decimal(c)) if c.isdecimal() else c for c in seen)
    return "".join(plain).translate(_PLAIN).strip()


def _without_decimal_tail(text: str, given: object) -> str:
    if whole := _WHOLE.fullmatch(text):
        return _unrounded(whole[1])
    if _FRACTION.fullmatch(text):
        problem = f"has digits behind a decimal point, so it was calculated with; {_AS_TEXT}"
        raise invalid_number(given, ReasonCode.NUMBER_LOST_DIGITS, problem)
    if _SHORTENED.fullmatch(text):
        problem = "was shortened by a spreadsheet, as 4.18E+10; format its column as text there"
        raise invalid_number(given, ReasonCode.NUMBER_LOST_DIGITS, problem)
    if (zeros := _ZEROS_AT_THE_END.fullmatch(text)) and not re.search(rf"\.\d{{{len(zeros[1])}}}\.0+$", text):
        problem = "ends in a dot and zeros, which may belong to it or not; write it like +41793026727"
        raise invalid_number(given, ReasonCode.NUMBER_AMBIGUOUS, problem)
    return text


def _check_characters(text: str, given: object) -> None:
    if _SHEET_ERROR.fullmatch(text):
        raise _not_a_number(given, "is what a spreadsheet shows for an error, such as #REF!; fix the sheet")
    if any(character.isalpha() for character in text):
        raise _not_a_number(given, f"has letters in it; {_ONLY}")
    if (beginning := _BEGINNING.match(text)) and beginning[1]:
        raise _not_a_number(given, f"has {_named(beginning[1])} before its first digit; write it like +41793026727")
    if "+" in text.lstrip("([ ")[1:] or any(character in _BETWEEN_NUMBERS for character in text):
        raise more_than_one(given)
    for character in text:
        if character not in _OF_A_NUMBER:
            raise _not_a_number(given, f"has {_named(character)} in it; {_ONLY}")


def _without_slash(text: str, given: object) -> str:
    area, slash, rest = text.partition("/")
    if not slash:
        return text
    code = _area_code("".join(filter(str.isdigit, area)), "+" in area)
    if not 1 <= len(code) <= _LONGEST_AREA_CODE or not _REST_OF_NUMBER.fullmatch(rest) or _OR_ANOTHER.search(rest):
        raise more_than_one(given)
    return f"{area.rstrip()} {rest.lstrip()}"


def _area_code(digits: str, plus: bool) -> str:
    """Return an area code without the prefix dialled before it; ``""`` unless a whole number begins that way."""
    if digits.startswith("00"):
        digits, plus = digits[2:], True
    if plus:
        code = country_code_of(digits)
        return digits[len(code) :].removeprefix("0") if code else ""
    return digits[1:] if digits.startswith("0") else ""


def _named(character: str) -> str:
    if character.isascii() and character.isprintable():
        return repr(character)
    return f"U+{ord(character):04X} ({unicodedata.name(character, 'a character without a name')})"
