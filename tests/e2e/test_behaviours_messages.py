"""Messages over HTTP: appended once, whole, in order, whatever they hold and whoever writes at the same time."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from typing import Any

import boto3
import httpx
import pytest

from tests.e2e.asking import at_once, contents, create, history, path_of, problem, say, say_each, seqs, verified
from tests.e2e.servers import Server

HELLO = {"role": "user", "content": "hello"}
MAX_ENTRY = 380 * 1024

TEXTS = {
    "100,000 characters": "The quick brown fox, 0123456789. " * 3030 + "x",
    "random-looking 100,000 characters": "".join(chr(33 + n * n * 7 % 90) for n in range(100_000)),
    "emoji": "👩‍👩‍👧‍👦🏳️‍🌈👍🏿",
    "combining": "e\u0301 n\u0303 Z̸̡̛͔͎ a\u0300\u0301\u0302",
    "decomposed and composed": "\u00e9 e\u0301 \ufb01 \u212b",
    "NUL": "a\u0000b\u0000",
    "controls": "".join(map(chr, range(32))) + "\u007f\u0085\u2028\u2029\ufeff",
    "1,000 newlines": "\n" * 1000,
    "CRLF": "a\r\nb\rc\n",
    "right-to-left": "שלום \u202eevil\u202c مرحبا",
    "SQL": "'; DROP TABLE messages; --",
    "HTML": "<script>alert('x')</script>&amp;<!-- -->",
    "JSON": '{"role": "system"}\\u0000\\"',
    "blank": " ",
    "outside the basic plane": "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 \U0010ffff \U000e0001",
}

PARTS = [
    [{"type": "tool_call", "toolCallId": "call_1", "name": "f", "arguments": {"x": 0.1, "y": [1, [2, [None]]]}}],
    {"floats": [0.1, 1e-7, 1.7976931348623157e308, 5e-324, -0.0, 1.0, 123456789.123456789]},
    {"big": [2**53 + 1, 10**40, -(10**40), 0]},
    {"nested": [None, [None, {"x": None}], {}], "unknown_key": {"snake_case": 1, "camelCase": 2, "": 3}},
    {"image": "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ" * 50},
    [],
    {},
    0,
    False,
    "",
    "text alone",
    [[[[[[[[]]]]]]]],
    {"status": "redacted", "seq": 99, "messageId": "msg-099", "memory": {"importance": 1}},
]


def append(api: httpx.Client, made: str, body: Any, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return api.post(path_of(made, "messages"), json=body, headers=named)


def test_an_appended_message_has_an_id_a_seq_and_a_time(own: httpx.Client) -> None:
    made = create(own)
    answer = append(own, made, HELLO)
    assert (answer.status_code, answer.headers["etag"]) == (201, '"1"')
    stored = answer.json()
    (message,) = stored["messages"]
    assert (message["messageId"], message["seq"], message["role"], message["content"]) == (
        "msg-001",
        1,
        "user",
        "hello",
    )
    assert message["timestamp"].endswith("Z")
    assert len(message["timestamp"]) == len("2025-01-01T00:00:00.000Z")
    assert (stored["conversationId"], stored["messageCount"]) == (made, 1)
    conversation = own.get(path_of(made)).json()
    assert (conversation["messageCount"], conversation["headHash"]) == (1, stored["headHash"])
    assert conversation["lastMessageAt"] == message["timestamp"]


def test_earlier_messages_stay_byte_for_byte_as_they_are(own: httpx.Client) -> None:
    made = create(own)
    for content in ("one", "two"):
        append(own, made, {"role": "user", "content": content, "parts": {"b": 1.50, "a": None}, "metadata": {"z": 1}})
    query = {"order": "asc", "limit": 2}
    before = own.get(path_of(made, "messages"), params=query).text
    say_each(own, made, "three", "four")
    after = own.get(path_of(made, "messages"), params=query).text
    assert items_text(after) == items_text(before)


def items_text(page: str) -> str:
    """The text of a page's messages, as it was sent."""
    return page[page.index('"items":') : page.rindex("]")]


def test_ids_go_on_past_a_thousand(own: httpx.Client) -> None:
    made = create(own)
    for _ in range(4):
        say(own, made, *(["x"] * 251))
    assert [message["messageId"] for message in history(own, made, limit=5)][-1] == "msg-1004"
    found = [own.get(path_of(made, "messages", name)) for name in ("msg-999", "msg-1000", "msg-1004")]
    assert [answer.json()["seq"] for answer in found] == [999, 1000, 1004]
    assert problem(own.get(path_of(made, "messages", "msg-0999")))[1] == "MESSAGE_NOT_FOUND"


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"content": ""}, "MISSING_REQUIRED_FIELD", "content"),
    ({"content": None}, "MISSING_REQUIRED_FIELD", "content"),
    ({"content": 5}, "INVALID_FORMAT", "content"),
    ({"content": ["x"] * 4_001}, "INVALID_RANGE", "content"),
    ({"content": {"text": "x"}}, "INVALID_FORMAT", "content"),
    ({"role": "bot"}, "INVALID_ROLE", "role"),
    ({"role": ""}, "INVALID_ROLE", "role"),
    ({"role": None}, "INVALID_ROLE", "role"),
    ({"role": 1}, "INVALID_ROLE", "role"),
    ({"role": "User"}, "INVALID_ROLE", "role"),
    ({"role": ["user"]}, "INVALID_ROLE", "role"),
    ({"role": {}}, "INVALID_ROLE", "role"),
    ({"text": "x"}, "UNKNOWN_FIELD", "text"),
    ({"messageId": "msg-001"}, "UNKNOWN_FIELD", "messageId"),
    ({"seq": 1}, "UNKNOWN_FIELD", "seq"),
    ({"status": "redacted"}, "INVALID_FORMAT", "status"),
    ({"thread_id": "t"}, "UNKNOWN_FIELD", "thread_id"),
    ({"user_id": "t"}, "UNKNOWN_FIELD", "user_id"),
    ({"from_": "t"}, "UNKNOWN_FIELD", "from_"),
    ({"tenant": "local"}, "UNKNOWN_FIELD", "tenant"),
    ({"name": 5}, "INVALID_FORMAT", "name"),
    ({"metadata": "x"}, "INVALID_FORMAT", "metadata"),
    ({"metadata": []}, "INVALID_FORMAT", "metadata"),
    ({"timestamp": "yesterday"}, "INVALID_FORMAT", "timestamp"),
    ({"timestamp": "2025-01-01"}, "INVALID_FORMAT", "timestamp"),
    ({"timestamp": "2025-01-01T00:00:00"}, "INVALID_FORMAT", "timestamp"),
    ({"timestamp": True}, "INVALID_FORMAT", "timestamp"),
    ({"timestamp": 1.5}, "INVALID_FORMAT", "timestamp"),
    ({"timestamp": {}}, "INVALID_FORMAT", "timestamp"),
    ({"timestamp": 10**14}, "INVALID_FORMAT", "timestamp"),
    ({"timestamp": 10**18}, "INVALID_FORMAT", "timestamp"),
    ({"timestamp": 10**30}, "INVALID_FORMAT", "timestamp"),
    ({"timestamp": -(10**30)}, "INVALID_FORMAT", "timestamp"),
    ({"timestamp": "1" * 5000}, "INVALID_FORMAT", "timestamp"),
    *(
        ({name: value}, code, name)
        for name in ("userId", "participantId", "from", "to", "threadId")
        for value, code in [
            (5, "INVALID_FORMAT"),
            ([], "INVALID_FORMAT"),
            (" ", "MISSING_REQUIRED_FIELD"),
            ("a\nb", "INVALID_ID_FORMAT"),
            ("x" * 129, "INVALID_ID_FORMAT"),
        ]
    ),
    *(
        ({name: value}, code, name)
        for name in ("runId", "externalId")
        for value, code in [
            (5, "INVALID_FORMAT"),
            ("", "INVALID_ID_FORMAT"),
            ("a\nb", "INVALID_ID_FORMAT"),
            ("x" * 257, "INVALID_ID_FORMAT"),
        ]
    ),
]


@pytest.mark.parametrize(("change", "code", "field"), REFUSED)
def test_a_message_that_cannot_be_is_refused_by_field_and_nothing_is_stored(
    own: httpx.Client, change: dict[str, Any], code: str, field: str
) -> None:
    made, message = create(own), {**HELLO, **change}
    assert problem(append(own, made, message)) == (422, code, field)
    batch = {"messages": [HELLO, message, HELLO]}
    assert problem(append(own, made, batch)) == (422, code, f"messages[1].{field}")
    assert history(own, made) == []


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({}, "MISSING_REQUIRED_FIELD", "role"),
        ({"role": "user"}, "MISSING_REQUIRED_FIELD", "content"),
        ({"content": "x"}, "MISSING_REQUIRED_FIELD", "role"),
        ({"messages": []}, "EMPTY_ARRAY", "messages"),
        ({"messages": None}, "INVALID_FORMAT", "messages"),
        ({"messages": "x"}, "INVALID_FORMAT", "messages"),
        ({"messages": {}}, "INVALID_FORMAT", "messages"),
        ({"messages": [None]}, "INVALID_FORMAT", "messages[0]"),
        ({"messages": [HELLO], "role": "user"}, "UNKNOWN_FIELD", "role"),
        ({"messages": [{**HELLO, "threadId": "a"}, {**HELLO, "threadId": "b"}]}, "INVALID_FORMAT", "messages"),
    ],
)
def test_a_batch_that_cannot_be_is_refused(own: httpx.Client, body: Any, code: str, field: str) -> None:
    assert problem(append(own, create(own), body)) == (422, code, field)


@pytest.mark.parametrize("body", [[], [HELLO], "hello", 5, True])
def test_a_body_that_is_no_object_is_refused(own: httpx.Client, body: Any) -> None:
    assert problem(append(own, create(own), body))[0] == 422


def test_an_agent_is_stored_as_an_assistant(own: httpx.Client) -> None:
    made = create(own)
    append(own, made, {"role": "agent", "content": "x"})
    assert [message["role"] for message in history(own, made)] == ["assistant"]
    assert seqs(own, made, roles="agent") == [1]
    assert seqs(own, made, roles="assistant") == [1]


def test_there_is_no_appending_where_no_conversation_is(own: httpx.Client) -> None:
    assert problem(append(own, "nowhere", HELLO))[:2] == (404, "CONVERSATION_NOT_FOUND")
    assert problem(own.get(path_of("nowhere")))[0] == 404


def test_a_sealed_conversation_takes_no_messages(own: httpx.Client) -> None:
    made = create(own)
    say(own, made, "hello")
    assert own.post(path_of(made, "seal")).json()["status"] == "sealed"
    for _ in range(8):  # whichever worker answers
        assert problem(append(own, made, HELLO))[:2] == (409, "CONVERSATION_SEALED")
    assert contents(own, made) == ["hello"]
    assert verified(own, made)["valid"]


def test_one_byte_over_the_limit_is_413_and_nothing_is_stored(own: httpx.Client) -> None:
    made = create(own)
    fits, too_long = MAX_ENTRY // 2, MAX_ENTRY
    while too_long - fits > 1:
        length = (fits + too_long) // 2
        answer = append(own, made, {"role": "user", "content": "x" * length})
        fits, too_long = (length, too_long) if answer.status_code == 201 else (fits, length)
    stored = len(history(own, made, limit=1000))
    refused = append(own, made, {"role": "user", "content": "x" * too_long})
    assert problem(refused)[:2] == (413, "ENTRY_TOO_LARGE")
    assert str(MAX_ENTRY) in refused.json()["detail"]
    assert len(history(own, made, limit=1000)) == stored
    assert append(own, made, {"role": "user", "content": "x" * fits}).status_code == 201
    assert verified(own, made)["valid"]


def test_a_batch_over_the_limit_is_413_and_none_of_it_is_stored(own: httpx.Client) -> None:
    made = create(own)
    answer = append(own, made, {"messages": [{"role": "user", "content": "é" * 50_000}] * 5})
    assert problem(answer)[:2] == (413, "ENTRY_TOO_LARGE")
    assert history(own, made) == []


def test_a_batch_is_one_entry_with_seqs_in_a_row(own: httpx.Client) -> None:
    made = create(own)
    say(own, made, "zero")
    stored = say(own, made, "one", "two", "three")
    assert [message["seq"] for message in stored["messages"]] == [2, 3, 4]
    assert stored["messageCount"] == 4
    assert verified(own, made)["entries"] == 3
    assert contents(own, made) == ["zero", "one", "two", "three"]


def test_eight_writers_of_25_leave_no_gap_and_lose_nothing(own: httpx.Client) -> None:
    made = create(own)

    def write(writer: int) -> httpx.Response:
        answers = [append(own, made, {"role": "user", "content": f"{writer}/{n}"}) for n in range(25)]
        assert {answer.status_code for answer in answers} == {201}
        return answers[-1]

    at_once(8, write)
    stored = history(own, made, limit=1000)
    assert [message["seq"] for message in stored] == list(range(1, 201))
    assert {message["content"] for message in stored} == {f"{w}/{n}" for w in range(8) for n in range(25)}
    for writer in range(8):
        own_words = [message["content"] for message in stored if message["content"].startswith(f"{writer}/")]
        assert own_words == [f"{writer}/{n}" for n in range(25)]
    assert verified(own, made) | {"headHash": ""} == {
        "valid": True,
        "messageCount": 200,
        "entries": 201,
        "headHash": "",
    }


def test_the_same_key_again_gives_the_same_answer_and_stores_nothing(own: httpx.Client) -> None:
    made = create(own)
    first = append(own, made, HELLO, Idempotency_Key="k")
    say(own, made, "another")
    for _ in range(4):
        again = append(own, made, HELLO, Idempotency_Key="k")
        assert (again.status_code, again.json()) == (201, first.json())
        assert again.headers["idempotent-replayed"] == "true"
        assert again.headers["etag"] == first.headers["etag"]
    assert "idempotent-replayed" not in first.headers
    assert contents(own, made) == ["hello", "another"]


def test_ten_equal_requests_at_once_are_stored_once(own: httpx.Client) -> None:
    made = create(own)
    answers = at_once(10, lambda _: append(own, made, HELLO, Idempotency_Key="k"))
    for answer in answers:
        if answer.status_code != 201:
            assert problem(answer)[:2] == (409, "REQUEST_IN_PROGRESS")
            assert answer.headers["retry-after"]
    assert len({answer.text for answer in answers if answer.status_code == 201}) == 1
    assert contents(own, made) == ["hello"]


def test_the_same_key_with_another_body_is_refused(own: httpx.Client) -> None:
    made, other = create(own), create(own)
    append(own, made, HELLO, Idempotency_Key="k")
    refused = append(own, made, {**HELLO, "content": "other"}, Idempotency_Key="k")
    assert problem(refused) == (409, "IDEMPOTENCY_KEY_REUSED", "Idempotency-Key")
    assert problem(append(own, other, HELLO, Idempotency_Key="k"))[1] == "IDEMPOTENCY_KEY_REUSED"
    assert contents(own, made) == ["hello"]
    assert contents(own, other) == []


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_key_that_is_none_is_refused(own: httpx.Client, key: str) -> None:
    assert problem(append(own, create(own), HELLO, Idempotency_Key=key)) == (422, "INVALID_FORMAT", "Idempotency-Key")


def test_another_tenants_key_of_the_same_name_is_another(own: httpx.Client, api: httpx.Client) -> None:
    mine, theirs = create(own), create(api)
    append(own, mine, HELLO, Idempotency_Key="shared-name")
    assert append(api, theirs, HELLO, Idempotency_Key=f"shared-name-{theirs}").status_code == 201
    assert append(api, theirs, {**HELLO, "content": "x"}, Idempotency_Key="shared-name").status_code == 201


def test_a_client_that_went_away_and_asks_again_is_stored_once(own: httpx.Client) -> None:
    made, headers = create(own), {"Idempotency-Key": "k"}
    request = own.build_request("POST", path_of(made, "messages"), json=HELLO, headers=headers)
    gone = HTTPConnection(own.base_url.host, own.base_url.port)
    gone.request("POST", request.url.raw_path.decode(), request.content, dict(request.headers))
    gone.close()  # before the answer is there, or read
    assert append(own, made, HELLO, Idempotency_Key="k").status_code == 201
    assert contents(own, made) == ["hello"]


def test_if_match_appends_only_behind_its_seq(own: httpx.Client) -> None:
    made = create(own)
    assert append(own, made, HELLO, If_Match='"0"').status_code == 201
    assert append(own, made, HELLO, If_Match="1").status_code == 201
    refused = append(own, made, HELLO, If_Match='"1"')
    assert problem(refused) == (412, "PRECONDITION_FAILED", "If-Match")
    assert refused.json()["current"] == 2
    assert problem(append(own, made, HELLO, If_Match='"99"'))[0] == 412
    assert seqs(own, made) == [1, 2]


@pytest.mark.parametrize("text", ["*", "", '"x"', "-1", '"1", "2"', "1.0", 'W/"1"', "9" * 30, "٣"])
def test_an_if_match_that_is_no_number_is_refused(own: httpx.Client, text: str) -> None:
    headers = {"If-Match": text.encode()}
    answer = own.post(path_of(create(own), "messages"), json=HELLO, headers=headers)
    assert problem(answer) == (422, "INVALID_FORMAT", "If-Match")


def test_of_eight_that_expect_the_same_seq_one_wins(own: httpx.Client) -> None:
    made = create(own)
    answers = at_once(8, lambda n: append(own, made, {"role": "user", "content": f"{n}"}, If_Match='"0"'))
    assert sorted(answer.status_code for answer in answers) == [201] + [412] * 7
    assert seqs(own, made) == [1]


def test_if_match_with_a_key_is_answered_again_when_it_is_sent_again(own: httpx.Client) -> None:
    made = create(own)
    first = append(own, made, HELLO, If_Match='"0"', Idempotency_Key="k")
    say(own, made, "another")
    again = append(own, made, HELLO, If_Match='"0"', Idempotency_Key="k")
    assert (again.status_code, again.json(), again.headers["idempotent-replayed"]) == (201, first.json(), "true")
    other = append(own, made, {**HELLO, "content": "x"}, If_Match='"0"', Idempotency_Key="k")
    assert problem(other)[1] == "IDEMPOTENCY_KEY_REUSED"
    assert len(history(own, made)) == 2


@pytest.mark.parametrize("name", TEXTS)
def test_any_text_comes_back_exactly(own: httpx.Client, name: str) -> None:
    made, text = create(own), TEXTS[name]
    said = {"role": "user", "content": text, "name": text[:50], "metadata": {text[:20]: text[:200]}}
    stored = append(own, made, said)
    assert stored.status_code == 201, stored.text
    for message in (
        stored.json()["messages"][0],
        *history(own, made),
        own.get(path_of(made, "messages/msg-001")).json(),
    ):
        assert {part: message[part] for part in said} == said
    assert verified(own, made)["valid"]


@pytest.mark.parametrize("parts", PARTS, ids=range(len(PARTS)))
def test_any_parts_come_back_exactly(own: httpx.Client, parts: Any) -> None:
    made = create(own)
    stored = append(own, made, {"role": "tool", "parts": parts, "metadata": {"parts": parts}})
    assert stored.status_code == 201, stored.text
    for message in (stored.json()["messages"][0], *history(own, made)):
        assert json.dumps(message["parts"]) == json.dumps(parts)
        assert json.dumps(message["metadata"]) == json.dumps({"parts": parts})


def test_what_json_cannot_give_back_exactly_is_refused(own: httpx.Client) -> None:
    path = path_of(create(own), "messages")
    said = '{"role": "user", "content": "x", "parts": %s}'
    for text, status in [
        ("1e400", 422),
        ("NaN", 400),
        ("[" * 70 + "]" * 70, 422),
        ('"\\ud800"', 400),
        ("1" * 2000, 422),
    ]:
        answer = own.post(path, content=said % text, headers={"Content-Type": "application/json"})
        assert problem(answer)[0] == status, text


def test_all_that_a_message_says_comes_back(own: httpx.Client) -> None:
    made = create(own)
    said = {
        "role": "tool",
        "content": "x",
        "parts": None,
        "name": "é",
        "userId": "u#1",
        "participantId": "p 1",
        "from": "a",
        "to": "b",
        "threadId": "t%1",
        "runId": "r",
        "metadata": {"a": {"b": None}},
        "timestamp": "2020-02-29T23:59:59.999Z",
    }
    (message,) = append(own, made, said).json()["messages"]
    assert message == {**said, "messageId": "msg-001", "seq": 1}
    assert history(own, made) == [message]


def test_a_time_is_taken_in_any_zone_and_as_unix_milliseconds(own: httpx.Client) -> None:
    made = create(own)
    for given in ("2025-06-15T17:06:40.123+02:00", 1_750_000_000_123, "2025-06-15t15:06:40.123z"):
        append(own, made, {**HELLO, "timestamp": given})
    assert {message["timestamp"] for message in history(own, made)} == {"2025-06-15T15:06:40.123Z"}


def test_one_byte_changed_behind_the_api_is_found(own: httpx.Client, server: Server) -> None:
    made = create(own)
    say_each(own, made, "one", "two", "three")
    before = verified(own, made)
    conversation = own.get(path_of(made)).json()
    assert before == {"valid": True, "messageCount": 3, "entries": 4, "headHash": conversation["headHash"]}
    tamper(server, made, 2)
    assert verified(own, made)["valid"] is False
    assert verified(own, made)["firstBadSeq"] == 2


def tamper(server: Server, conversation_id: str, seq: int) -> None:
    """Change one byte of a message in the database."""
    port = json.loads((server.data / "dynoxide.json").read_text())["port"]
    credentials = {"aws_access_key_id": "local", "aws_secret_access_key": "local", "region_name": "us-east-1"}
    dynamodb = boto3.client("dynamodb", endpoint_url=f"http://127.0.0.1:{port}", **credentials)
    found = dynamodb.scan(
        TableName="annals-ledger",
        FilterExpression="contains(pk, :id) AND sk = :sk",
        ExpressionAttributeValues={":id": {"S": f"#C#{conversation_id}"}, ":sk": {"S": f"E#{seq:012d}"}},
    )["Items"]
    (item,) = found
    body = item["records"]["L"][0]["M"]["body"]["S"]
    dynamodb.update_item(
        TableName="annals-ledger",
        Key={name: item[name] for name in ("pk", "sk")},
        UpdateExpression="SET records[0].body = :body",
        ExpressionAttributeValues={":body": {"S": body.replace("two", "tvo")}},
    )
