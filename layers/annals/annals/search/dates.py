"""Dates in texts: which one a query names ("on 7 May 2023", "in June"), and whether a text says or asks when."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
REACH_DAYS = 15
"""How far from a day something may have been said and still be close to it."""
DAY_MS = 86_400_000
_NUMBERS = {name: number for number, name in enumerate(MONTHS, 1)}
_NUMBERS |= {name[:3]: number for name, number in _NUMBERS.items()} | {"sept": 9}
_ALSO_WORDS = frozenset({"may", "march"})

_MONTH = rf"\b(?P<month>{'|'.join(sorted(_NUMBERS, key=len, reverse=True))})\b\.?"
_DAY = r"\b(?P<day>[0-3]?\d)(?:st|nd|rd|th)?\b"
_YEAR = r"\b(?P<year>[12]\d{3})\b"
_DATE_PATTERNS = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\b(?P<year>[12]\d{3})-(?P<month>[01]\d)(?:-(?P<day>[0-3]\d))?\b",
        rf"{_DAY}(?:\s+of)?\s+{_MONTH}(?:,?\s+{_YEAR})?",
        rf"{_MONTH}\s+{_DAY}(?!:)(?:,?\s+{_YEAR})?",
        rf"{_MONTH}(?:\s+of)?,?\s+{_YEAR}",
    )
]
_TIME_EXPRESSION = re.compile(
    r"\b(?:yesterday|today|tonight|tomorrow|ago|last|next|recently|since|this (?:morning|week|weekend|month|year)|"
    r"days?|weeks?|weekend|months?|years?|(?:mon|tues|wednes|thurs|fri|satur|sun)day|"
    rf"{'|'.join(sorted({*MONTHS} - _ALSO_WORDS))}|"
    r"[12]\d{3})\b",
    re.IGNORECASE,
)
_WHEN_QUESTION = re.compile(r"\s*(?:when|how long|(?:what|which) (?:year|month|day|date|time))\b", re.IGNORECASE)
_MONTH_ALONE = re.compile(rf"(?P<before>\b[a-z]+\s+)?\b(?P<month>{'|'.join(MONTHS)})\b", re.IGNORECASE)
_BEFORE_MONTH = frozenset(
    """
    in on of during since until till by from before after around last this next late early mid
""".split()
)


@dataclass(frozen=True)
class DateRange:
    """What to search for a date: ``start`` to ``end`` in Unix ms (end excluded), or months of any year."""

    start: int | None = None
    end: int | None = None
    months: tuple[int, ...] = ()


@dataclass(frozen=True)
class NamedDate:
    """A month, perhaps with its day, perhaps with its year."""

    month: int
    day: int | None = None
    year: int | None = None

    def closeness(self, moment: datetime) -> float:
        """How close a moment is, 0..1: 1 within the month; for a day, 1 on it and 0 from 15 days away."""
        if self.day is None:
            return float(moment.month == self.month and self.year in (None, moment.year))
        years = [self.year] if self.year else [moment.year - 1, moment.year, moment.year + 1]
        distance = min(abs((moment.date() - self._day_in(year)).days) for year in years if 1 <= year <= 9999)
        return max(0.0, 1 - distance / REACH_DAYS)

    def date_range(self) -> DateRange:
        """The time in which ``closeness`` is more than 0, with at most a month more."""
        if self.year is None:
            return DateRange(months=self._months())
        if self.day is None:
            start, days = date(self.year, self.month, 1), monthrange(self.year, self.month)[1]
            # By the clock where it was said, a month begins and ends up to a day before or after it does in UTC.
            return DateRange(_ms(start) - DAY_MS, _ms(start) + (days + 1) * DAY_MS)
        day = self._day_in(self.year)
        return DateRange(_ms(day - timedelta(REACH_DAYS)), _ms(day + timedelta(REACH_DAYS + 1)))

    def _months(self) -> tuple[int, ...]:
        if self.day is None:
            return (self.month,)
        day = self._day_in(2000)
        near = {(day + timedelta(days)).month for days in (-REACH_DAYS, 0, REACH_DAYS)}
        return tuple(sorted(near))

    def _day_in(self, year: int) -> date:
        """The day in a year; 30 February is taken as the month's last."""
        return date(year, self.month, min(self.day or 1, monthrange(year, self.month)[1]))


def find_date(text: str) -> NamedDate | None:
    """The first day that a text names, else the first month. A year alone is none."""
    dates = [date for date in _find_dates(text) if date is not None]
    return next((date for date in dates if date.day), dates[0] if dates else None)


def has_time_expression(text: str) -> bool:
    """Whether a text says when: "yesterday", "two weeks ago", "in June", "since 2019"."""
    return _TIME_EXPRESSION.search(text) is not None


def is_when_question(text: str) -> bool:
    """Whether a time is what a question asks for."""
    return _WHEN_QUESTION.match(text) is not None


def _find_dates(text: str) -> Iterator[NamedDate | None]:
    for pattern in _DATE_PATTERNS:
        for match in pattern.finditer(text):
            yield _to_date(match.groupdict())
    for match in _MONTH_ALONE.finditer(text):
        if _is_month(match["month"], (match["before"] or "").strip()):
            yield NamedDate(_NUMBERS[match["month"].lower()])


def _to_date(parts: dict[str, str | None]) -> NamedDate | None:
    name = str(parts["month"]).lower()
    month = int(name) if name.isdigit() else _NUMBERS[name]
    day = int(parts.get("day") or 0)
    year = int(parts.get("year") or 0)
    if not 1 <= month <= 12 or day > 31:
        return None
    return NamedDate(month, day or None, year or None)


def _is_month(name: str, before: str) -> bool:
    """Whether "may" or "march" is a month: after a preposition or, but for the first word, with a capital."""
    if name.lower() not in _ALSO_WORDS or before.lower() in _BEFORE_MONTH:
        return True
    return bool(before) and name[0].isupper()


def _ms(day: date) -> int:
    return round(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
