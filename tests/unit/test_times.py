"""Times: Unix milliseconds inside, RFC 3339 outside."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annals.times import from_rfc3339, to_rfc3339

YEAR_1_MS = -62_135_596_800_000
YEAR_9999_END_MS = 253_402_300_799_999


@given(st.integers(YEAR_1_MS, YEAR_9999_END_MS))
def test_every_millisecond_of_the_calendar_survives_being_written_and_read(ms: int) -> None:
    text = to_rfc3339(ms)
    assert len(text) == len("2025-06-15T15:06:40.123Z")
    assert from_rfc3339(text) == ms


def test_times_are_written_in_utc_with_milliseconds() -> None:
    assert to_rfc3339(1_750_000_000_123) == "2025-06-15T15:06:40.123Z"
    assert to_rfc3339(YEAR_1_MS) == "0001-01-01T00:00:00.000Z"


def test_written_times_sort_as_the_moments_do() -> None:
    moments = [YEAR_1_MS, -1, 0, 1, 999, 1000, 1_750_000_000_123, YEAR_9999_END_MS]
    assert sorted(map(to_rfc3339, moments)) == [to_rfc3339(ms) for ms in moments]


def test_an_offset_is_turned_into_utc() -> None:
    assert from_rfc3339("2025-06-15T17:06:40.123+02:00") == 1_750_000_000_123


@pytest.mark.parametrize("text", ["2025-06-15", "2025-06-15T15:06:40", "yesterday", "", "2025-06-15 15:06:40+00:00"])
def test_what_is_no_rfc_3339_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_rfc3339(text)
