"""Messages while they are said: drafts that grow, and become one message each."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from annals.database.dynamodb import client
from annals.ledger.keys import conversation_pk
from annals.memory.message_drafts import changes, ending, following, listing, upserting
from annals.memory.message_drafts.draft_store import DraftChange, delete_draft, list_drafts, store_change
from annals.settings import settings
from annals.times import now_ms, to_rfc3339
from local.workers import Context
from tests.support.api import Api, Reply
from tests.support.crashes import items_of
from tests.support.indexing import embedded_index
from tests.support.ledgers import new_conversation
from tests.support.stack import function

pytestmark = pytest.mark.usefixtures("moto")

CHAT = "/v1/conversations/conv-1"
MESSAGES = f"{CHAT}/messages"


@pytest.fixture(autouse=True)
def conversation(tenant: str) -> str:
    return new_conversation(tenant)


def put(api: Api, content: Any = "", external_id: str = "reply", *, at: str = MESSAGES, **more: Any) -> Reply:
    body = {"role": "assistant", "content": content, **more}
    return api.put(f"{at}/{quote(external_id, safe='')}", body)


def said(api: Api, content: Any = "", external_id: str = "reply", **more: Any) -> dict[str, Any]:
    """What the message is after a request that is taken."""
    answer = put(api, content, external_id, **more)
    assert answer.status in (200, 201), answer.json
    message: dict[str, Any] = answer.json["message"]
    return message


def drafts(api: Api, query: str = "") -> list[dict[str, Any]]:
    items = api.get(f"{MESSAGES}?drafts=true{query}").json["items"]
    return [item for item in items if item.get("status") == "draft"]


def history(api: Api) -> list[tuple[str, str]]:
    return [(each["messageId"], each["content"]) for each in api.get(MESSAGES).json["items"]]


def rest_of(api: Api) -> list[str]:
    """The sort keys of what is stored of drafts."""
    keys = ((item["pk"]["S"], item["sk"]["S"]) for item in items_of(api.caller.tenant, settings().state_table))
    return sorted(sk for pk, sk in keys if "#DM#" in pk or sk.startswith("DRAFT#"))


def test_text_is_added_until_the_message_is_complete(api: Api) -> None:
    assert said(api, "To be")["content"] == "To be"
    draft = said(api, ", or not")
    assert (draft["content"], draft["status"], draft["externalId"], draft["revision"]) == (
        "To be, or not",
        "draft",
        "reply",
        2,
    )
    assert history(api) == []
    answer = put(api, " to be", completed=True)
    assert answer.status == 201
    message = answer.json["message"]
    assert (message["messageId"], message["content"], message["externalId"]) == (
        "msg-001",
        "To be, or not to be",
        "reply",
    )
    assert (answer.json["messageCount"], "status" in message) == (1, False)
    assert history(api) == [("msg-001", "To be, or not to be")]
    assert rest_of(api) == []
    assert api.get(f"{CHAT}/verify").json["valid"]


def test_what_is_complete_at_once_needs_no_draft(api: Api) -> None:
    answer = put(api, "All of it.", completed=True)
    assert (answer.status, answer.json["message"]["content"]) == (201, "All of it.")
    assert rest_of(api) == []


def test_text_is_replaced(api: Api) -> None:
    said(api, "To bee")
    assert said(api, "To be", replace=True)["content"] == "To be"
    assert said(api, "!")["content"] == "To be!"
    assert said(api, "Not to be.", replace=True, completed=True)["content"] == "Not to be."


@pytest.mark.parametrize("step", [1, 7, 100, 5_000])
def test_a_long_text_of_any_pieces_comes_back_exactly(api: Api, step: int) -> None:
    text = ('"To be", or not…\n\\ 👩‍👩‍👧 ' * 2_000)[: min(300 * step, 60_000) // (1 if step > 50 else 4)]
    for start in range(0, len(text), step):
        answer = put(api, text[start : start + step])
        assert answer.status == 200, answer.json
    assert answer.json["message"]["length"] == len(text)
    assert drafts(api)[0]["content"] == text
    assert said(api, completed=True)["content"] == text
    assert rest_of(api) == []


def test_an_answer_holds_a_long_text_no_more(api: Api) -> None:
    assert "content" in said(api, "x" * 3_000)
    answer = said(api, "x" * 3_000)
    assert ("content" in answer, answer["length"], answer["role"]) == (False, 6_000, "assistant")


def test_a_revision_that_is_not_larger_changes_nothing(api: Api) -> None:
    said(api, "a", revision=3)
    for revision in (3, 2, 1):
        assert said(api, "zzz", revision=revision)["content"] == "a"
    assert said(api, "zzz", revision=3, replace=True)["content"] == "a"
    assert put(api, "zzz", revision=3, completed=True).json["message"]["status"] == "draft"
    draft = said(api, "b", revision=7)
    assert (draft["content"], draft["revision"]) == ("ab", 7)
    assert said(api, "c")["revision"] == 8
    assert said(api, "d", revision=9, completed=True)["content"] == "abcd"


def test_a_request_with_a_key_is_taken_once(api: Api) -> None:
    path, body = f"{MESSAGES}/reply", {"role": "assistant", "content": "a"}
    for key in ("1", "1", "2", "1", "3"):
        answer = api.put(path, body, idempotency_key=key)
        assert answer.status == 200
    assert answer.json["message"]["content"] == "aaa"
    again = api.put(path, body, idempotency_key="2")
    assert (again.headers["idempotent-replayed"], again.json["message"]["content"]) == ("true", "aaa")
    other = api.put(path, {**body, "content": "b"}, idempotency_key="2")
    assert other.problem[:2] == (409, "IDEMPOTENCY_KEY_REUSED")
    done = {**body, "completed": True}
    first, repeat = (api.put(path, done, idempotency_key="4") for _ in range(2))
    assert (first.status, repeat.status, repeat.json["message"]) == (201, 200, first.json["message"])
    assert first.json["message"]["content"] == "aaaa"


@pytest.mark.parametrize("revision", [0, -1, 2**53, "1", 1.5, True])
def test_a_revision_is_a_positive_whole_number(api: Api, revision: Any) -> None:
    status, _, field = put(api, "a", revision=revision).problem
    assert (status, field) == (422, "revision")
    assert rest_of(api) == []


def test_null_is_as_if_it_were_not_sent(api: Api) -> None:
    draft = said(api, "a", revision=None, onExpiry=None, conversation=None, supersedes=None, status=None, name=None)
    assert (draft["revision"], "name" in draft) == (1, False)


def test_what_is_complete_takes_nothing_more(api: Api) -> None:
    said(api, "a")
    body = {"content": "b", "completed": True, "revision": 5}
    first = put(api, **body)
    again = put(api, **body)
    assert (first.status, again.status, again.headers["idempotent-replayed"]) == (201, 200, "true")
    assert again.json["message"] == first.json["message"]
    for other in ({"content": "c"}, {"content": "b", "revision": 6}, {"content": "c", "completed": True}):
        assert put(api, **other).problem == (409, "MESSAGE_COMPLETED", None)
    assert put(api, "ab", completed=True).status == 200
    assert history(api) == [("msg-001", "ab")]


def test_a_redacted_message_takes_nothing_more(api: Api) -> None:
    said(api, "a", completed=True)
    api.post(f"{MESSAGES}/msg-001/redact", {"reason": "private"})
    for completed in (True, False):
        assert put(api, "a", completed=completed).problem == (410, "MESSAGE_REDACTED", None)


def test_fields_are_as_they_were_last_said(api: Api) -> None:
    said(api, "a", name="Ada", metadata={"x": 1})
    draft = said(api, "b", metadata={"y": 2}, runId="run/1")
    assert (draft["name"], draft["metadata"], draft["runId"], draft["content"]) == ("Ada", {"y": 2}, "run/1", "ab")
    message = said(api, "c", completed=True, importance=90, tags=["x"])
    assert (message["name"], message["metadata"], message["content"]) == ("Ada", {"y": 2}, "abc")
    assert api.get("/v1/memories/mem:conv-1:1").json["importance"] == 90


def test_parts_replace_what_was_said(api: Api) -> None:
    said(api, "Let me")
    calls = [{"type": "tool_use", "id": "1", "name": "f", "input": {}}]
    assert said(api, "Let me see", parts=calls)["parts"] == calls
    assert put(api, " more").problem == (422, "INVALID_FORMAT", "replace")
    draft = said(api, "No calls", replace=True)
    assert ("parts" in draft, draft["content"]) == (False, "No calls")
    message = said(api, "", parts=calls, completed=True)
    assert (message["parts"], message["content"]) == (calls, "")


def test_a_draft_is_shown_on_request_alone(api: Api) -> None:
    api.post(MESSAGES, {"role": "user", "content": "Hello?"})
    said(api, "Hi")
    said(api, "there", "other/ä")
    for path in (MESSAGES, f"{MESSAGES}?drafts=false", f"{CHAT}/context?maxTokens=100", f"{CHAT}/export"):
        assert "Hi" not in str(api.get(path).json)
    answer = api.get(f"{MESSAGES}?drafts=true").json
    shown = [(each.get("messageId"), each["content"], each.get("externalId")) for each in answer["items"]]
    assert shown[0] == ("msg-001", "Hello?", None)
    assert sorted(shown[1:], key=str) == [(None, "Hi", "reply"), (None, "there", "other/ä")]
    assert answer["total"] == 1
    assert api.get(f"{MESSAGES}?drafts=perhaps").problem == (422, "INVALID_FORMAT", "drafts")


def test_drafts_are_on_the_page_with_the_newest_messages(api: Api) -> None:
    for content in "abc":
        api.post(MESSAGES, {"role": "user", "content": content})
    said(api, "d", threadId="t")

    def contents(query: str) -> str:
        return "".join(each["content"] for each in api.get(f"{MESSAGES}?drafts=true{query}").json["items"])

    assert contents("&limit=2") == "bcd"
    assert contents("&order=desc&limit=2") == "dcb"
    assert contents("&order=asc&limit=2") == "ab"
    assert contents("&order=asc&limit=2&after=2") == "cd"
    assert contents("&roles=user") == "abc"
    assert contents("&roles=assistant") == "d"
    assert contents("&threadId=t") == "d"
    assert contents("&threadId=u") == ""
    assert contents("&before=3") == "ab"
    assert contents("&externalId=reply") == "d"
    assert contents("&externalId=none") == ""
    assert contents("&lastRuns=1") == "cd"
    first = api.get(f"{MESSAGES}?drafts=true&order=asc&limit=2").json
    second = api.get(f"{MESSAGES}?drafts=true&order=asc&limit=2&cursor={first['nextCursor']}").json
    assert [each["content"] for each in second["items"]] == ["c", "d"]
    newest = api.get(f"{MESSAGES}?drafts=true&limit=2").json
    older = api.get(f"{MESSAGES}?drafts=true&limit=2&cursor={newest['nextCursor']}").json
    assert [each["content"] for each in older["items"]] == ["a"]


def test_a_draft_makes_its_conversation(api: Api) -> None:
    made = {"participants": {"userId": "ada", "memorySpaceId": "home"}}
    at = "/v1/conversations/new/messages"
    assert put(api, "a", at=at).problem == (404, "CONVERSATION_NOT_FOUND", None)
    assert api.get("/v1/conversations/new").status == 404
    assert said(api, "a", at=at, conversation=made)["content"] == "a"
    assert said(api, "b", at=at, conversation=made)["content"] == "ab"
    other = {"participants": {"userId": "bob", "memorySpaceId": "home"}}
    assert put(api, "c", at=at, conversation=other).problem[:2] == (409, "PARTICIPANT_MISMATCH")
    assert said(api, "c", at=at, completed=True)["content"] == "abc"


def test_what_is_wrong_makes_no_conversation(api: Api) -> None:
    made = {"participants": {"userId": "ada", "memorySpaceId": "home"}}
    at = "/v1/conversations/new/messages"
    assert put(api, "x" * 400_000, at=at, conversation=made).problem[:2] == (413, "ENTRY_TOO_LARGE")
    assert put(api, "", at=at, role="user", completed=True, conversation=made).problem == (
        422,
        "MISSING_REQUIRED_FIELD",
        "content",
    )
    assert api.get("/v1/conversations/new").status == 404


def test_a_draft_is_at_most_what_an_entry_holds(api: Api) -> None:
    said(api, "x" * 380_000)
    assert put(api, "y" * 20_000).problem[:2] == (413, "ENTRY_TOO_LARGE")
    assert drafts(api)[0]["length"] == 380_000
    assert said(api, "z", replace=True, completed=True)["content"] == "z"


def test_a_conversation_has_a_bounded_number_of_drafts(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upserting, "MAX_DRAFTS", 3)
    for number in range(3):
        assert put(api, "a", str(number)).status == 200
    assert put(api, "a", "3").problem == (409, "TOO_MANY_DRAFTS", None)
    assert put(api, "b", "1").status == 200
    said(api, "", "1", completed=True)
    assert put(api, "a", "3").status == 200


def test_a_message_that_an_append_stores_meanwhile_is_a_draft_no_more(api: Api) -> None:
    said(api, "To be")
    api.post(MESSAGES, {"role": "assistant", "content": "All of it.", "externalId": "reply"})
    assert drafts(api) == []
    assert put(api, "!", completed=True).problem == (409, "MESSAGE_COMPLETED", None)
    assert rest_of(api) == []
    assert history(api) == [("msg-001", "All of it.")]


def test_an_empty_message_is_not_completed(api: Api) -> None:
    assert said(api, "", role="user")["content"] == ""
    assert put(api, "", role="user", completed=True).problem == (422, "MISSING_REQUIRED_FIELD", "content")
    assert said(api, "x", role="user", completed=True)["content"] == "x"


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"role": "bot"}, (422, "INVALID_ROLE", "role")),
        ({"status": "incomplete"}, (422, "INVALID_FORMAT", "status")),
        ({"supersedes": "msg-001"}, (422, "INVALID_FORMAT", "supersedes")),
        ({"onExpiry": "maybe"}, (422, "INVALID_FORMAT", "onExpiry")),
        ({"replace": "yes"}, (422, "INVALID_FORMAT", "replace")),
        ({"completed": 1}, (422, "INVALID_FORMAT", "completed")),
        ({"colour": "red"}, (422, "UNKNOWN_FIELD", "colour")),
    ],
)
def test_what_no_message_has_is_refused(api: Api, wrong: dict[str, Any], problem: Any) -> None:
    assert put(api, "a", **wrong).problem == problem
    assert rest_of(api) == []


def test_an_external_id_in_a_path_has_its_bounds(api: Api) -> None:
    assert put(api, "a", "x" * 256).status == 200
    assert put(api, "a", "x" * 257).problem[:2] == (422, "INVALID_ID_FORMAT")
    assert put(api, "a", "a\nb").problem[:2] == (422, "INVALID_ID_FORMAT")


def test_who_may_not_write_says_nothing(api: Api) -> None:
    assert put(api.limited(scopes={"read"}), "a").problem[:2] == (403, "FORBIDDEN")
    assert put(api.limited(spaces={"elsewhere"}), "a").problem == (404, "CONVERSATION_NOT_FOUND", None)
    said(api, "secret")
    assert api.limited(spaces={"elsewhere"}).get(f"{MESSAGES}?drafts=true").status == 404
    assert put(Api.of("another"), "a").problem == (404, "CONVERSATION_NOT_FOUND", None)


def test_a_sealed_conversation_takes_no_message(api: Api) -> None:
    said(api, "a", "before")
    api.post(f"{CHAT}/seal")
    assert put(api, "a").problem[:2] == (409, "CONVERSATION_SEALED")
    assert put(api, "b", "before", completed=True).problem[:2] == (409, "CONVERSATION_SEALED")


def test_an_erasure_takes_the_drafts(api: Api) -> None:
    said(api, "xylophone " * 100)
    said(api, "xylophone", "other")
    assert api.delete(CHAT).status == 200
    assert "xylophone" not in str(items_of(api.caller.tenant, settings().state_table))
    assert rest_of(api) == []
    assert put(api, "xylophone").problem == (410, "CONVERSATION_ERASED", None)
    assert rest_of(api) == []


def test_the_erasure_of_a_user_takes_their_drafts_in_conversations_of_others(api: Api, tmp_path: Path) -> None:
    said(api, "xylophone " * 100, role="user", userId="ada")
    said(api, "piano", "other", role="user", userId="bob")
    with embedded_index(tmp_path):
        assert api.delete("/v1/users/ada").status == 200
    assert [draft["content"] for draft in drafts(api)] == ["piano"]
    assert "xylophone" not in str(items_of(api.caller.tenant, settings().state_table))


def test_a_message_that_was_kept_incomplete_is_completed(api: Api) -> None:
    api.post(MESSAGES, {"role": "assistant", "content": "To be", "externalId": "reply", "status": "incomplete"})
    draft = said(api, ", or not")
    assert draft["content"] == "To be, or not"
    message = said(api, " to be", completed=True)
    assert (message["content"], message["supersedes"], "status" in message) == (
        "To be, or not to be",
        "msg-001",
        False,
    )
    assert history(api) == [("msg-002", "To be, or not to be")]
    assert api.get(f"{MESSAGES}?externalId=reply").json["items"][0]["messageId"] == "msg-002"


@pytest.mark.parametrize(("status", "code"), [(None, "MESSAGE_COMPLETED"), ("incomplete", "MESSAGE_SUPERSEDED")])
def test_what_is_superseded_by_a_message_without_its_external_id_is_not_gone_on_with(
    api: Api, status: str | None, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = {"role": "assistant", "content": "To be", "status": "incomplete"}
    api.post(MESSAGES, {**part, "externalId": "reply"})
    said(api, " or", onExpiry="keep")
    assert api.post(MESSAGES, {**part, "status": status, "supersedes": "msg-001"}).status == 201
    for completed in (True, False):
        assert put(api, "!", completed=completed).problem[:2] == (409, code)
    assert rest_of(api) == []
    assert Followed.of(stream(api)).events[-1][1]["message"]["messageId"] == "msg-002"
    run_out(api, monkeypatch)
    assert history(api) == [("msg-002", "To be")]


def test_a_redaction_takes_the_draft_that_goes_on_from_a_message(api: Api) -> None:
    api.post(MESSAGES, {"role": "assistant", "content": "xylophone", "externalId": "reply", "status": "incomplete"})
    said(api, " and more")
    api.post(f"{MESSAGES}/msg-001/redact", {"reason": "private"})
    assert drafts(api) == []
    assert rest_of(api) == []
    assert "xylophone" not in str(items_of(api.caller.tenant, settings().state_table))
    assert put(api, " and more").problem == (410, "MESSAGE_REDACTED", None)


def test_what_is_cut_can_be_stored_as_incomplete(api: Api) -> None:
    said(api, "To be")
    body = {"content": ", or", "completed": True, "status": "incomplete", "revision": 9}
    first, again = put(api, **body), put(api, **body)
    assert (first.status, again.status, first.json["message"]["status"]) == (201, 200, "incomplete")
    assert history(api) == [("msg-001", "To be, or")]


def test_personal_data_in_several_pieces_is_masked_before_it_is_stored(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PII_REDACTION", "patterns")
    settings.cache_clear()
    for piece in ("Write to ada@ex", "ample.org", " or ", "bob@example.org"):
        said(api, piece)
    assert drafts(api)[0]["content"] == "Write to [EMAIL] or [EMAIL]"
    assert "example.org" not in str(items_of(api.caller.tenant, settings().state_table))
    assert said(api, ".", completed=True)["content"] == "Write to [EMAIL] or [EMAIL]."
    settings.cache_clear()


@dataclass(frozen=True)
class Followed:
    """A stream of events, as it came."""

    events: list[tuple[str, Any, str | None]]

    @staticmethod
    def of(reply: Reply) -> Followed:
        assert reply.headers["content-type"].startswith("text/event-stream"), reply.body
        found = []
        for frame in reply.body.decode().split("\n\n"):
            fields = dict(
                line.split(": ", 1) for line in frame.splitlines() if ": " in line and not line.startswith(":")
            )
            if fields:
                found.append((fields["event"], json.loads(fields["data"]), fields.get("id")))
        return Followed(found)

    @property
    def names(self) -> list[str]:
        return [name for name, _, _ in self.events]

    @property
    def text(self) -> str:
        return "".join(data["text"] for name, data, _ in self.events if name == "delta")


def stream(api: Api, external_id: str = "reply", **headers: str) -> Reply:
    return api.get(f"{MESSAGES}/{quote(external_id, safe='')}/stream", **headers)


@dataclass
class Reading:
    """Requests that are sent while somebody follows a message."""

    has_begun: threading.Event = field(default_factory=threading.Event)

    def then(self, *requests: Callable[[], Any]) -> threading.Thread:
        """Send requests one after the other, once the follower has read the draft."""

        def send() -> None:
            assert self.has_begun.wait(30)
            for request in requests:
                time.sleep(0.05)
                request()

        thread = threading.Thread(target=send)
        thread.start()
        return thread


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> Reading:
    found, reading = following.find_draft, Reading()
    reads = count(1)

    def find_draft(pk: str, name: str) -> Any:
        draft = found(pk, name)
        if next(reads) > 1:  # the first read looks whether there is anything to follow
            reading.has_begun.set()
        return draft

    monkeypatch.setattr(following, "find_draft", find_draft)
    monkeypatch.setattr(following, "POLL_S", 0.01)
    return reading


def test_a_message_is_followed_while_it_is_said(api: Api, reading: Reading) -> None:
    said(api, "To be", name="Hamlet")
    thread = reading.then(lambda: said(api, ", or not"), lambda: said(api, " to be", completed=True))
    followed = Followed.of(stream(api))
    thread.join()
    assert (followed.names[0], followed.names[1], followed.names[-1]) == ("start", "delta", "result")
    start, last = followed.events[0][1], followed.events[-1][1]
    assert (start["message"]["name"], start["message"]["status"], "content" in start["message"]) == (
        "Hamlet",
        "draft",
        False,
    )
    assert "To be, or not to be".startswith(followed.text)
    assert last["message"]["content"] == "To be, or not to be"


def test_a_follower_comes_back_for_what_is_new(api: Api, reading: Reading) -> None:
    said(api, "To be")
    said(api, "x" * 2_000)
    thread = reading.then(lambda: said(api, completed=True))
    first = Followed.of(stream(api))
    thread.join()
    position = next(number for name, _, number in first.events if name == "delta")
    said(api, "To be", "other")
    said(api, "x" * 2_000, "other")
    thread = reading.then(lambda: said(api, "!", "other"), lambda: said(api, "", "other", completed=True))
    part = Followed.of(stream(api, "other", last_event_id="1-5"))
    thread.join()
    assert (part.names[0], part.text.rstrip("!"), position) == ("delta", "x" * 2_000, "1-2005")


def test_a_text_that_is_replaced_begins_anew(api: Api, reading: Reading) -> None:
    said(api, "To bee")
    said(api, "To be", replace=True)
    thread = reading.then(lambda: said(api, completed=True))
    followed = Followed.of(stream(api, last_event_id="1-6"))
    thread.join()
    assert (followed.names, followed.text) == (["start", "delta", "result"], "To be")


def test_a_message_that_is_stored_is_followed_to_its_end(api: Api) -> None:
    said(api, "To be", "a/ä ?", completed=True)
    followed = Followed.of(stream(api, "a/ä ?"))
    assert (followed.names, followed.events[0][1]["message"]["messageId"]) == (["result"], "msg-001")


def test_a_follower_learns_that_nothing_comes_of_a_message(api: Api, reading: Reading) -> None:
    said(api, "To be")
    thread = reading.then(lambda: api.delete(CHAT))
    followed = Followed.of(stream(api))
    thread.join()
    assert (followed.names[-1], followed.events[-1][1]["code"]) == ("error", "CONVERSATION_ERASED")


def test_who_may_not_see_a_message_does_not_follow_it(api: Api) -> None:
    assert stream(api).problem == (404, "MESSAGE_NOT_FOUND", None)
    said(api, "secret", completed=True)
    assert stream(api.limited(spaces={"elsewhere"})).problem == (404, "CONVERSATION_NOT_FOUND", None)
    assert stream(api.limited(scopes={"write"})).problem[:2] == (403, "FORBIDDEN")
    assert stream(Api.of("another")).problem == (404, "CONVERSATION_NOT_FOUND", None)
    for wrong in ("x", "1", "1-", "-1-2", "1-2-3", "9" * 30):
        assert stream(api, last_event_id=wrong).problem == (422, "INVALID_FORMAT", "Last-Event-ID")
    api.post(f"{MESSAGES}/msg-001/redact", {"reason": "private"})
    followed = Followed.of(stream(api))
    assert (followed.names, followed.events[0][1]["code"]) == (["error"], "MESSAGE_REDACTED")


def run_out(api: Api, monkeypatch: pytest.MonkeyPatch, *, hours: float = 2.0) -> None:
    """Let some hours pass, and the timers of drafts go, as DynamoDB deletes them."""
    now = now_ms() + round(3_600_000 * hours)
    for module in (changes, ending, listing, upserting, following):
        if hasattr(module, "now_ms"):
            monkeypatch.setattr(module, "now_ms", lambda: now)
    for item in items_of(api.caller.tenant, settings().state_table):
        key = {"pk": item["pk"], "sk": item["sk"]}
        if item["sk"]["S"].startswith("DRAFTEND#") and int(item["expiresAt"]["N"]) < now // 1000:
            client().delete_item(TableName=settings().state_table, Key=key)
            for _ in range(2):  # a record of the stream may come again
                records = [{"dynamodb": {"Keys": key, "SequenceNumber": "1"}, "eventName": "REMOVE"}]
                answer = function("finish_erasure").handler({"Records": records}, Context("finish_erasure"))
                assert answer == {"batchItemFailures": []}


def test_a_draft_that_runs_out_is_discarded_unless_it_is_to_be_kept(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    said(api, "To be")
    said(api, "To keep", "kept", onExpiry="keep")
    said(api, " it", "kept")
    run_out(api, monkeypatch)
    assert rest_of(api) == []
    (message,) = api.get(MESSAGES).json["items"]
    assert (message["content"], message["status"], message["externalId"]) == ("To keep it", "incomplete", "kept")
    assert stream(api).problem == (404, "MESSAGE_NOT_FOUND", None)
    assert Followed.of(stream(api, "kept")).names == ["result"]


def test_what_was_kept_is_said_when_it_was_said_last(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    before = to_rfc3339(now_ms())
    said(api, "To keep", onExpiry="keep")
    after = to_rfc3339(now_ms())
    run_out(api, monkeypatch)
    assert before <= api.get(MESSAGES).json["items"][0]["timestamp"] <= after


def test_what_was_kept_is_completed_later(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    said(api, "To be", onExpiry="keep")
    run_out(api, monkeypatch)
    assert said(api, ", or not", onExpiry="keep")["content"] == "To be, or not"
    run_out(api, monkeypatch, hours=4)
    assert history(api) == [("msg-002", "To be, or not")]
    assert said(api, " to be", completed=True)["content"] == "To be, or not to be"
    assert history(api) == [("msg-003", "To be, or not to be")]
    api.post(f"{MESSAGES}/msg-003/redact", {"reason": "private"})
    statuses = {api.get(f"{MESSAGES}/msg-00{seq}").json["status"] for seq in (1, 2, 3)}
    assert statuses == {"redacted"}
    assert api.get(f"{CHAT}/verify").json["valid"]


def test_a_draft_that_is_added_to_runs_out_later(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    said(api, "To be", onExpiry="keep")
    later_on = now_ms() + 3_000_000
    monkeypatch.setattr(upserting, "now_ms", lambda: later_on)
    said(api, ", or not")
    run_out(api, monkeypatch, hours=1.1)
    assert (len(drafts(api)), history(api)) == (1, [])
    run_out(api, monkeypatch, hours=2)
    assert history(api) == [("msg-001", "To be, or not")]


def test_a_writer_who_comes_late_changes_no_later_draft(api: Api) -> None:
    said(api, "first")
    pk = conversation_pk(api.caller.tenant, "conv-1")
    (former,) = list_drafts(pk)
    assert delete_draft(former)
    said(api, "second " * 200)
    (later,) = list_drafts(pk)
    assert (later.revision, later.external_id) == (former.revision, former.external_id)
    late = replace(former, revision=2, rest="late")
    assert not store_change(DraftChange(late, before=former))
    assert not delete_draft(former)
    assert delete_draft(former.as_closed())
    assert drafts(api)[0]["content"] == "second " * 200


def test_a_draft_that_has_run_out_begins_anew(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    said(api, "To be", revision=9)
    now = now_ms() + 2 * 3_600_000
    for module in (listing, upserting):
        monkeypatch.setattr(module, "now_ms", lambda: now)
    assert drafts(api) == []
    assert said(api, "Anew", revision=1)["content"] == "Anew"


def test_nothing_is_kept_of_a_draft_without_words_or_in_a_sealed_conversation(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    said(api, " ", "blank", onExpiry="keep")
    run_out(api, monkeypatch)
    said(api, "To be", onExpiry="keep")
    api.post(f"{CHAT}/seal")
    run_out(api, monkeypatch, hours=5)
    assert (rest_of(api), history(api)) == ([], [])
