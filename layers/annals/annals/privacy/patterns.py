"""Personal data detected by its form: by a pattern and, where there is one, a check digit. Needs no network.

Each pattern begins where a word does and has bounded repetitions, so that no text takes long to read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address

from annals.privacy.detection import PiiMatch

BYTE = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"

PLAIN = {
    "EMAIL": re.compile(r"(?<![\w.+-])[\w.+%'-]{1,64}@(?:[^\W_][\w-]{0,62}\.){1,8}[^\W\d_]{2,24}(?![\w-])"),
    "SSN": re.compile(r"(?<![\w-])(?!000|666|9)\d{3}-(?!00)\d\d-(?!0000)\d{4}(?![\w-])"),
    "IP_ADDRESS": re.compile(rf"(?<![\w.])(?:{BYTE}\.){{3}}{BYTE}(?!\w|\.\d)"),
    "PHONE": re.compile(
        r"(?<![\w.+-])(?:"
        r"\+\d{1,3}(?:[ ./()-]{0,2}\d){6,13}"  # international
        r"|(?:\(\d{3}\) ?|\d{3}[-. ])\d{3}[-. ]\d{4}"  # as in North America
        r"|0\d{1,4}[ /-]?\d{3,4}[ -]?\d{3,5}"  # national, with its leading zero
        r")(?![\w-])"
    ),
}

NUMBER = re.compile(r"(?<![\w-])\d{4}[ -]?\d{4,6}[ -]?\d{4,5}(?:[ -]?\d{1,4}){0,2}")
ACCOUNT = re.compile(r"(?<!\w)[A-Za-z]{2}\d\d(?: ?[A-Za-z0-9]{4}){2,7}(?: ?[A-Za-z0-9]{1,4})?")
COLONS = re.compile(r"(?<![\w:.])[0-9A-Fa-f:]{2,39}(?![\w:])")


class PatternDetector:
    """Detects e-mail addresses, telephone, card and account numbers, IP addresses and US social security numbers."""

    def detect(self, texts: Sequence[str]) -> list[list[PiiMatch]]:
        """See ``PiiDetector``. It is always available."""
        return [list(_matches(text)) for text in texts]


def _matches(text: str) -> Iterator[PiiMatch]:
    for kind, pattern in PLAIN.items():
        yield from (PiiMatch(*match.span(), kind) for match in pattern.finditer(text))
    for start, end in _checked_numbers(NUMBER, 13, _is_card, text):
        yield PiiMatch(start, end, "CREDIT_DEBIT_NUMBER")
    for start, end in _checked_numbers(ACCOUNT, 15, _is_iban, text):
        yield PiiMatch(start, end, "INTERNATIONAL_BANK_ACCOUNT_NUMBER")
    yield from (PiiMatch(*match.span(), "IP_ADDRESS") for match in COLONS.finditer(text) if _is_ipv6(match[0]))


def _checked_numbers(
    pattern: re.Pattern[str], shortest: int, is_valid: Callable[[str], bool], text: str
) -> Iterator[tuple[int, int]]:
    """Start and end of each number that passes its check, as long as it can be: groups after it may look like more."""
    position = 0
    while match := pattern.search(text, position):
        start, longest_end = match.span()
        ends = (end for end in range(longest_end, start + shortest - 1, -1) if not text[end : end + 1].isalnum())
        valid_end = next((end for end in ends if is_valid(text[start:end])), None)
        if valid_end is not None:
            yield start, valid_end
        position = valid_end or _next_group(text, start, longest_end)


def _next_group(text: str, start: int, end: int) -> int:
    """Where the next group of characters between two positions begins, or else the second one."""
    gap = re.compile("[ -]").search(text, start, end)
    return gap.end() if gap else end


def _is_card(text: str) -> bool:
    digits = [int(each) for each in text if each.isdigit()]
    doubled = (2 * digit - 9 * (digit > 4) for digit in digits[-2::-2])
    return 13 <= len(digits) <= 19 and any(digits) and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _is_iban(text: str) -> bool:
    plain = text.replace(" ", "").upper()
    return plain.isascii() and int("".join(str(int(each, 36)) for each in plain[4:] + plain[:4])) % 97 == 1


def _is_ipv6(text: str) -> bool:
    if text.count(":") < 2 or text.strip(":") == "":
        return False
    try:
        return ip_address(text).version == 6
    except ValueError:
        return False
