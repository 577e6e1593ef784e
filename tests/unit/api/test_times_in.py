"""Times as the API takes them: one meaning, or a refusal."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from annals.api.fields import to_ms
from annals.times import to_rfc3339
from tests.support.api import Api

MAY_DAY = 1_714_557_600
"""2024-05-01T10:00:00Z in seconds."""


@pytest.mark.parametrize("time", [MAY_DAY, MAY_DAY * 10**3, MAY_DAY * 10**6, "2024-05-01T10:00:00Z"])
@pytest.mark.parametrize("form", [lambda time: time, str])
def test_seconds_milliseconds_and_microseconds_mean_the_same_moment(time: Any, form: Any) -> None:
    assert to_ms(form(time)) == MAY_DAY * 1_000


@pytest.mark.parametrize(
    "text",
    ["2024-05-01T12:00:00+02:00", "2024-05-01T10:00Z", "2024-05-01t10:00:00z", "2024-04-30T23:30:00.000-10:30",
     "2024-05-01T10:00:00.0000000001Z"],
)  # fmt: skip
def test_every_form_of_rfc_3339_is_understood(text: str) -> None:
    assert to_ms(text) == MAY_DAY * 1_000


@given(st.integers(10**12, 10**13 - 1))
def test_what_is_told_is_taken_again(ms: int) -> None:
    assert to_ms(to_rfc3339(ms)) == to_ms(ms) == to_ms(str(ms)) == ms


UNCERTAIN = [
    0, -1, 2024, 20240501, 202405011230, 20240501123000, 10**8, 10**11, 10**14, 10**17, 10**18, 10**400, -MAY_DAY,
    True, 1.5, float(MAY_DAY), None, [MAY_DAY], {},
    "", " ", "2024", "2024-05", "2024-05-01", "20240501", "2024-W18-3T10:00:00Z", "2024-122T10:00:00Z",
    "2024-05-01T10:00:00", "2024-05-01 10:00:00Z", "20240501T100000Z", "2024-05-01T10:00:00+02", "-1", "+1714557600",
    "1_714_557_600", " 1714557600", "٢٠٢٤-٠٥-٠١T١٠:٠٠:٠٠Z", "١٧١٤٥٥٧٦٠٠", "²²²²²²²²²²", "0000000001", "1714557600.5",
    "2024-05-01T10:00:60Z", "2016-12-31T23:59:60Z", "2024-02-30T00:00:00Z", "2024-05-01T24:00:00Z", "yesterday",
    "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+01:00", "10000-01-01T00:00:00Z", "9999-12-31T23:59:59-01:00",
    "9" * 5000,
]  # fmt: skip


@pytest.mark.parametrize("time", UNCERTAIN, ids=lambda time: repr(time)[:30])
def test_what_may_mean_several_moments_or_none_is_refused(time: Any) -> None:
    with pytest.raises(PydanticCustomError) as refused:
        to_ms(time)
    assert refused.value.type == "INVALID_FORMAT"
    assert "RFC 3339" in refused.value.message()


@given(st.integers() | st.text() | st.floats() | st.from_regex(r"[0-9-]{4,11}T[0-9:.]{0,16}[Z0-9:+-]{0,8}"))
def test_whatever_comes_is_a_moment_of_the_calendar_or_refused(time: Any) -> None:
    with suppress(PydanticCustomError):
        assert to_rfc3339(to_ms(time))


HELLO = {"role": "user", "content": "Hello."}


@pytest.mark.usefixtures("moto")
def test_a_year_is_no_time_on_any_route(api: Api) -> None:
    new = {"conversationId": "c", "type": "user-agent", "participants": {"userId": "ada", "memorySpaceId": "home"}}
    assert api.post("/v1/conversations", new).status == 201
    turn = {"memorySpaceId": "home", "userId": "ada", "userMessage": "x", "agentResponse": "y"}
    fact = {"memorySpaceId": "home", "fact": "f", "subject": "s", "predicate": "p", "object": "o"}
    for year in (2024, "2024", 20240501, "2024-05-01"):
        refused = {
            "timestamp": [
                api.post("/v1/conversations/c/messages", {**HELLO, "timestamp": year}),
                api.post("/v1/memory/remember", {**turn, "timestamp": year}),
            ],
            "validFrom": [api.post("/v1/facts", {**fact, "validFrom": year})],
            "expiresAt": [api.post("/v1/keys", {"name": "k", "scopes": ["read"], "expiresAt": year})],
            "filter.createdAfter": [
                api.post("/v1/memory/search", {"query": "x", "filter": {"createdAfter": year}}),
                api.post("/v1/conversations/delete-many", {"filter": {"createdAfter": year}}),
            ],
            "since": [api.get(f"/v1/conversations/c/messages?since={year}")],
            "until": [api.get(f"/v1/conversations/c/messages?until={year}")],
            "createdBefore": [
                api.get(f"/v1/conversations?createdBefore={year}"),
                api.get(f"/v1/memories?createdBefore={year}"),
                api.get(f"/v1/memories/export?createdBefore={year}"),
                api.get(f"/v1/conversations/export?createdBefore={year}"),
            ],
            "at": [api.get(f"/v1/facts?at={year}")],
        }
        for field, answers in refused.items():
            assert [answer.problem for answer in answers] == [(422, "INVALID_FORMAT", field)] * len(answers)


@pytest.mark.usefixtures("moto")
@pytest.mark.parametrize("time", [MAY_DAY, MAY_DAY * 10**6])
def test_a_moment_of_an_import_is_read_as_on_every_other_route(api: Api, time: int) -> None:
    lines = (
        '{"type":"conversation","conversationType":"user-agent","conversationId":"brought",'
        '"participants":{"userId":"ada","memorySpaceId":"home"}}\n'
        f'{{"type":"message","conversationId":"brought","role":"user","content":"x","timestamp":{time}}}'
    )
    assert api.post("/v1/conversations/import", lines).status == 200
    (message,) = api.get("/v1/conversations/brought/messages").json["items"]
    assert message["timestamp"] == "2024-05-01T10:00:00.000Z"
