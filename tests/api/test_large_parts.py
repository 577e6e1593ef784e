"""Messages for whose parts an entry has no room: stored all the same, shown by reference, and given back exactly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from annals.blobs.folder import FolderStore
from annals.ledger import part_reading
from tests.conftest import Setting
from tests.support.api import Api
from tests.support.blobs import MB, blobs_in, fetch, files_of, image, references, restored
from tests.support.everything import deliver
from tests.support.indexing import embedded_index

pytestmark = pytest.mark.usefixtures("moto")

PARTICIPANTS = {"participants": {"userId": "ada", "memorySpaceId": "space"}}
SPACE = {"type": "user-agent", **PARTICIPANTS}


@pytest.fixture
def store(tmp_path: Path, setting: Setting) -> FolderStore:
    return blobs_in(tmp_path / "blobs", setting)


@pytest.fixture
def folder(store: FolderStore, tmp_path: Path) -> Path:
    return tmp_path / "blobs"


@pytest.fixture
def conversation(api: Api, store: FolderStore) -> str:
    return str(api.post("/v1/conversations", {"conversationId": "c", **SPACE}).json["conversationId"])


def append(api: Api, conversation: str, body: Any, **headers: str) -> dict[str, Any]:
    reply = api.post(f"/v1/conversations/{conversation}/messages", body, **headers)
    assert reply.status == 201, reply.json
    message: dict[str, Any] = reply.json["messages"][0]
    return message


def get(api: Api, conversation: str, message_id: str = "msg-001") -> dict[str, Any]:
    message: dict[str, Any] = api.get(f"/v1/conversations/{conversation}/messages/{message_id}").json
    return message


DATA, TEXT = image(700_000)

LARGE: dict[str, dict[str, Any]] = {
    "an image of Anthropic's": {
        "role": "user",
        "content": "Look at this",
        "parts": [
            {"type": "text", "text": "Look at this"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": TEXT}},
        ],
    },
    "an image of OpenAI's": {
        "role": "user",
        "content": "Look",
        "parts": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{TEXT}"}}],
    },
    "a tool's result": {"role": "tool", "content": "ü" * 300_000, "parts": {"tool_call_id": "call-1"}},
    "a tool's result alone": {"role": "tool", "content": json.dumps(['a "quoted" row\n'] * 40_000)},
    "arguments as text": {
        "role": "assistant",
        "content": "",
        "parts": {"tool_calls": [{"id": "1", "function": {"name": "f", "arguments": json.dumps({"a": "b" * MB})}}]},
    },
    "arguments as an object": {
        "role": "assistant",
        "content": "",
        "parts": [{"type": "tool_use", "id": "1", "name": "f", "input": {"rows": [[n, n / 3] for n in range(40_000)]}}],
    },
    "many parts of which none is large": {
        "role": "user",
        "content": "",
        "parts": [{"type": "text", "text": f"{n} " * 200} for n in range(1_000)],
    },
    "a text and its content": {
        "role": "user",
        "content": "zebra " * 100_000,
        "parts": [{"type": "text", "text": "zebra " * 100_000}],
    },
    "parts that are one text": {"role": "user", "content": "x", "parts": "🦓" * 200_000},
    "base64 that is not canonical": {"role": "user", "content": "x", "parts": [TEXT[:-4] + "AB==", TEXT + "\n"]},
}


@pytest.mark.parametrize("message", LARGE.values(), ids=LARGE)
def test_a_message_for_which_an_entry_has_no_room_comes_back_exactly(
    api: Api, store: FolderStore, conversation: str, message: dict[str, Any]
) -> None:
    appended = append(api, conversation, message)
    shown = get(api, conversation)
    assert shown == appended
    assert len(json.dumps(shown).encode()) < 380 * 1024
    assert references(shown)
    whole = restored(store, api, shown)
    assert {name: whole[name] for name in message} == message
    assert api.get(f"/v1/conversations/{conversation}/verify?parts=true").json["valid"] is True


def test_a_reference_says_what_its_part_is_and_where(api: Api, conversation: str) -> None:
    append(api, conversation, LARGE["an image of Anthropic's"])
    source = get(api, conversation)["parts"][1]["source"]
    (reference,) = references({"parts": source})
    assert (reference.size, reference.media_type, reference.encoding) == (len(DATA), "image/png", "base64")
    url = f"/v1/conversations/c/messages/msg-001/parts/{reference.sha256}"
    assert source["data"] == reference.to_json(url=url)
    assert source["media_type"] == "image/png"


def test_the_signed_url_is_never_shown_as_a_page(api: Api, store: FolderStore, conversation: str) -> None:
    message = append(api, conversation, {"role": "user", "content": "x", "parts": "<script>alert(1)</script>" * 20_000})
    answer = fetch(store, api.get(message["parts"]["$annalsPart"]["url"]).json["url"])
    assert answer.headers["content-disposition"] == "attachment"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]


def test_redirect_leads_to_the_signed_url(api: Api, store: FolderStore, conversation: str) -> None:
    message = append(api, conversation, LARGE["parts that are one text"])
    reply = api.get(message["parts"]["$annalsPart"]["url"] + "?redirect=true")
    assert reply.status == 302
    assert fetch(store, reply.headers["location"]).text == "🦓" * 200_000


def test_what_an_entry_has_room_for_stays_in_it(api: Api, folder: Path, conversation: str) -> None:
    _, text = image(200_000)
    message = {"role": "user", "content": "x", "parts": [{"type": "text", "text": text}]}
    assert append(api, conversation, message)["parts"] == message["parts"]
    assert files_of(folder) == []


def test_a_text_of_a_person_that_is_too_long_is_refused_and_nothing_stored(
    api: Api, folder: Path, conversation: str
) -> None:
    message = {"role": "user", "content": "x" * 380 * 1024}
    reply = api.post(f"/v1/conversations/{conversation}/messages", message)
    assert reply.problem[:2] == (413, "ENTRY_TOO_LARGE")
    assert files_of(folder) == []
    assert api.get(f"/v1/conversations/{conversation}").json["messageCount"] == 0


def test_a_batch_is_stored_as_one_entry_with_the_large_parts_of_each(
    api: Api, store: FolderStore, conversation: str
) -> None:
    messages = [LARGE["a tool's result"], {"role": "user", "content": "small"}, LARGE["arguments as an object"]]
    reply = api.post(f"/v1/conversations/{conversation}/messages", {"messages": messages})
    assert reply.status == 201
    shown = api.get(f"/v1/conversations/{conversation}/messages").json["items"]
    assert shown == reply.json["messages"]
    whole = [restored(store, api, message) for message in shown]
    assert [{name: each[name] for name in given} for each, given in zip(whole, messages, strict=True)] == messages


def test_the_words_of_a_large_result_are_found_by_its_beginning(api: Api, conversation: str) -> None:
    message = append(api, conversation, {"role": "tool", "content": "quokka " + "zebra " * 100_000})
    assert message["content"].startswith("quokka zebra")
    assert len(message["content"]) == 64 * 1024
    assert references(message)[0].size == 600_007


def test_a_message_that_needs_too_many_parts_is_refused(api: Api, folder: Path, conversation: str) -> None:
    messages = [{"role": "user", "content": f"{number} " * 500} for number in range(400)]
    reply = api.post(f"/v1/conversations/{conversation}/messages", {"messages": messages})
    assert reply.problem[:2] == (413, "ENTRY_TOO_LARGE")
    assert files_of(folder) == []


def test_a_redacted_message_loses_its_parts_and_another_with_the_same_bytes_keeps_its_own(
    api: Api, store: FolderStore, folder: Path, conversation: str
) -> None:
    message = LARGE["an image of Anthropic's"]
    api.post("/v1/conversations", {"conversationId": "other", **SPACE})
    both = api.post(f"/v1/conversations/{conversation}/messages", {"messages": [message, message]}).json["messages"]
    elsewhere = append(api, "other", message)
    urls = [api.get(references_url(each)).json["url"] for each in [*both, elsewhere]]
    assert len(files_of(folder)) == 3

    assert api.post(f"/v1/conversations/{conversation}/messages/msg-001/redact", {"reason": "r"}).status == 200

    assert [fetch(store, url).status_code for url in urls] == [404, 200, 200]
    assert api.get(references_url(both[0])).problem == (404, "PART_NOT_FOUND", None)
    assert len(files_of(folder)) == 2
    verified = api.get(f"/v1/conversations/{conversation}/verify?parts=true").json
    assert verified["parts"] == {"checked": 1, "unchecked": 0}


def references_url(message: dict[str, Any]) -> str:
    return str(message["parts"][1]["source"]["data"]["$annalsPart"]["url"])


def test_an_erased_conversation_loses_its_parts_and_no_other_does(api: Api, folder: Path, conversation: str) -> None:
    api.post("/v1/conversations", {"conversationId": "other", **SPACE})
    for name in (conversation, "other"):
        append(api, name, LARGE["an image of OpenAI's"])
    assert api.delete(f"/v1/conversations/{conversation}").status == 200
    assert len(files_of(folder)) == 1
    assert get(api, "other")["parts"]
    sha256 = references(get(api, "other"))[0].sha256
    url = f"/v1/conversations/{conversation}/messages/msg-001/parts/{sha256}"
    assert api.get(url).problem[:2] == (410, "CONVERSATION_ERASED")


def test_conversations_erased_together_lose_their_parts_at_once(api: Api, folder: Path, conversation: str) -> None:
    append(api, conversation, LARGE["an image of OpenAI's"])
    assert api.post("/v1/conversations/delete-many", {"filter": {"type": "user-agent"}}).json["count"] == 1
    assert files_of(folder) == []


def test_an_erased_user_loses_the_parts_of_their_messages(
    api: Api, folder: Path, conversation: str, tmp_path: Path
) -> None:
    with embedded_index(tmp_path) as stream:
        append(api, conversation, LARGE["an image of OpenAI's"])
        between = {"type": "user-agent", "participants": {"agentId": "bot", "memorySpaceId": "space"}}
        api.post("/v1/conversations", {"conversationId": "shared", **between})
        append(api, "shared", {**LARGE["an image of OpenAI's"], "userId": "ada"})
        append(api, "shared", {**LARGE["an image of OpenAI's"], "userId": "bob"})
        deliver(api, stream)
        assert api.delete("/v1/users/ada").status == 200
    assert len(files_of(folder)) == 1
    assert fetch_status(api, "shared", "msg-002") == 200


def fetch_status(api: Api, conversation: str, message_id: str) -> int:
    part = references(get(api, conversation, message_id))[0]
    return api.get(f"/v1/conversations/{conversation}/messages/{message_id}/parts/{part.sha256}").status


def test_parts_are_not_shown_to_another_tenant_nor_to_another_space(api: Api, conversation: str) -> None:
    url = references_url(append(api, conversation, LARGE["an image of Anthropic's"]))
    assert api.limited(spaces={"another"}).get(url).problem[:2] == (404, "CONVERSATION_NOT_FOUND")
    assert Api.of("another-tenant").get(url).problem[:2] == (404, "CONVERSATION_NOT_FOUND")
    assert api.limited(scopes={"write"}).get(url).problem[:2] == (403, "FORBIDDEN")
    assert api.limited(spaces={"space"}).get(url).status == 200


@pytest.mark.parametrize("digest", ["0" * 64, "x", "..%2F..%2Fkey", "%00"])
def test_a_part_that_a_message_does_not_have_is_not_found(api: Api, conversation: str, digest: str) -> None:
    append(api, conversation, LARGE["an image of Anthropic's"])
    status, code, _ = api.get(f"/v1/conversations/{conversation}/messages/msg-001/parts/{digest}").problem
    assert (status, code) in {(404, "PART_NOT_FOUND"), (422, "INVALID_ID_FORMAT")}


@pytest.mark.parametrize("message_id", ["msg-000", "msg-002", "msg-1", "x"])
def test_parts_of_no_message_are_not_found(api: Api, conversation: str, message_id: str) -> None:
    append(api, conversation, LARGE["an image of Anthropic's"])
    url = f"/v1/conversations/{conversation}/messages/{message_id}/parts/{'0' * 64}"
    assert api.get(url).problem[:2] == (404, "MESSAGE_NOT_FOUND")


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"x" * 700_000)])
def test_a_verification_of_parts_notices_one_that_is_gone_or_other_bytes(
    api: Api, folder: Path, conversation: str, damage: Any
) -> None:
    append(api, conversation, {"role": "user", "content": "first"})
    append(api, conversation, LARGE["an image of OpenAI's"])
    (file,) = files_of(folder)
    damage(file)
    assert api.get(f"/v1/conversations/{conversation}/verify").json["valid"] is True
    found = api.get(f"/v1/conversations/{conversation}/verify?parts=true").json
    assert (found["valid"], found["firstBadSeq"]) == (False, 2)
    assert "part" in found["reason"]


def test_personal_data_is_masked_in_a_part_before_it_is_moved(
    api: Api, store: FolderStore, folder: Path, conversation: str, setting: Setting
) -> None:
    setting("PII_REDACTION", "patterns")
    text = "Write to ada@example.org, please. " * 20_000
    message = append(api, conversation, {"role": "user", "content": "x", "parts": [{"type": "text", "text": text}]})
    assert restored(store, api, message)["parts"][0]["text"] == text.replace("ada@example.org", "[EMAIL]")
    assert not any(b"ada@" in path.read_bytes() for path in files_of(folder))


def test_without_a_place_for_parts_a_large_message_is_refused_as_too_large(api: Api) -> None:
    api.post("/v1/conversations", {"conversationId": "c", **SPACE})
    reply = api.post("/v1/conversations/c/messages", LARGE["an image of OpenAI's"])
    assert reply.problem[:2] == (413, "ENTRY_TOO_LARGE")


def test_remembering_and_importing_move_large_parts_too(api: Api, store: FolderStore) -> None:
    lines = [
        {"type": "conversation", "conversationType": SPACE["type"], "conversationId": "i", **PARTICIPANTS},
        {"type": "message", "conversationId": "i", **LARGE["an image of Anthropic's"]},
        {"type": "message", "conversationId": "i", **LARGE["a tool's result"]},
        {"type": "message", "conversationId": "i", **LARGE["arguments as an object"]},
    ]
    text = "\n".join(json.dumps(line) for line in lines)
    for imported in (3, 0):
        reply = api.post("/v1/conversations/import", text, content_type="application/x-ndjson")
        assert (reply.status, reply.json["conversations"][0]["imported"]) == (200, imported), reply.json
    shown = api.get("/v1/conversations/i/messages").json["items"]
    for message, line in zip(shown, lines[1:], strict=True):
        whole = restored(store, api, message)
        assert {name: whole[name] for name in ("role", "content", "parts")} == {
            name: line[name] for name in ("role", "content", "parts")
        }
    other = text.replace(TEXT[1000:1010], "A" * 10)
    reply = api.post("/v1/conversations/import", other, content_type="application/x-ndjson")
    assert reply.problem[:2] == (409, "CONVERSATION_DIFFERS")


def test_a_message_of_a_known_external_id_is_the_stored_one_whose_parts_were_moved(
    api: Api, folder: Path, conversation: str
) -> None:
    message = {**LARGE["an image of Anthropic's"], "externalId": "mine"}
    first = append(api, conversation, message)
    assert append(api, conversation, message) == first
    assert len(files_of(folder)) == 1
    other = {**LARGE["an image of OpenAI's"], "externalId": "mine"}
    reply = api.post(f"/v1/conversations/{conversation}/messages", other)
    assert reply.problem[:2] == (409, "EXTERNAL_ID_TAKEN")


def exported(api: Api, conversation: str, query: str) -> Any:
    reply = api.get(f"/v1/conversations/{conversation}/export?{query}")
    assert reply.status == 200, reply.body
    return [json.loads(line) for line in reply.body.decode().splitlines()]


def test_an_export_for_other_programs_holds_the_parts_themselves(api: Api, conversation: str) -> None:
    url = f"data:image/png;base64,{TEXT}"
    parts = [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": url}}]
    append(api, conversation, {"role": "user", "content": parts})
    (chat,) = exported(api, conversation, "format=openai-chat")
    assert chat["messages"] == [{"role": "user", "content": parts}]
    (claude,) = exported(api, conversation, "format=anthropic")
    assert claude["messages"][0]["content"][1]["source"]["data"] == TEXT
    imported = api.post(
        "/v1/conversations/import?memorySpaceId=space&userId=ada", json.dumps(chat), content_type="application/x-ndjson"
    ).json["conversations"][0]
    assert references(get(api, imported["conversationId"])) == references(get(api, conversation))


@pytest.mark.parametrize("name", LARGE)
def test_an_export_with_its_parts_inline_is_what_was_sent(api: Api, conversation: str, name: str) -> None:
    message = LARGE[name]
    append(api, conversation, message)
    (_, line) = exported(api, conversation, "format=jsonl&parts=inline")
    assert {field: line[field] for field in message} == message
    assert "contentPart" not in line
    (_, line) = exported(api, conversation, "format=jsonl")
    assert "$annalsPart" in json.dumps(line)


def test_an_export_leaves_a_reference_where_a_part_is_gone(api: Api, store: FolderStore, conversation: str) -> None:
    append(api, conversation, LARGE["an image of OpenAI's"])
    store.delete(list(store.keys("parts/")))
    (_, line) = exported(api, conversation, "format=jsonl&parts=inline")
    assert len(references(line)) == 1


def test_a_ledger_is_exported_as_it_is_hashed(api: Api, conversation: str) -> None:
    append(api, conversation, LARGE["an image of OpenAI's"])
    refused = api.get(f"/v1/conversations/{conversation}/export?format=ledger&parts=inline")
    assert refused.problem == (422, "INVALID_FORMAT", "parts")
    refused = api.get(f"/v1/conversations/{conversation}/export?parts=x")
    assert refused.problem == (422, "INVALID_FORMAT", "parts")
    assert "$annalsPart" in json.dumps(exported(api, conversation, "format=ledger"))


CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": json.dumps({"a": "b" * MB})}}
EXCHANGE: list[dict[str, Any]] = [
    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{TEXT}"}}]},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "content": "ü" * 300_000, "tool_call_id": "c1"},
    {"role": "assistant", "content": "So."},
]


def provider_file(api: Api, query: str) -> list[dict[str, Any]]:
    body = api.get(f"/v1/conversations/c/export?format={query}").body
    return [message for line in body.decode().splitlines() for message in json.loads(line)["messages"]]


def test_a_file_for_a_provider_is_as_if_no_part_were_large(api: Api, conversation: str) -> None:
    for message in EXCHANGE:
        append(api, conversation, message)
    assert provider_file(api, "openai-chat") == EXCHANGE
    picture, _, answer, _ = provider_file(api, "anthropic")
    assert picture["content"][0]["source"] == {"type": "base64", "media_type": "image/png", "data": TEXT}
    assert answer["content"][0]["content"] == "ü" * 300_000


def test_a_file_for_a_provider_holds_no_references_it_leaves_out_what_is_gone_or_too_large(
    api: Api, conversation: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for message in EXCHANGE:
        append(api, conversation, message)
    assert provider_file(api, "openai-chat&parts=references") == EXCHANGE[-1:]
    with monkeypatch.context() as patch:
        patch.setattr(part_reading, "MAX_INLINE_BYTES", 1_000)
        assert provider_file(api, "openai-chat") == EXCHANGE[-1:]
    for file in files_of(folder):
        file.unlink()
    assert provider_file(api, "openai-chat") == EXCHANGE[-1:]


def test_a_context_window_for_a_provider_holds_no_references(api: Api, conversation: str) -> None:
    for message in EXCHANGE:
        append(api, conversation, message)
    path = f"/v1/conversations/{conversation}/context?maxTokens=9999999"
    assert len(api.get(path).json["messages"]) == 4
    for name in ("openai-chat", "ai-sdk"):
        [reply] = api.get(f"{path}&format={name}").json["messages"]
        assert reply["role"] == "assistant"


def test_a_message_is_shown_with_its_parts_in_their_places_if_an_answer_has_room(
    api: Api, store: FolderStore, conversation: str
) -> None:
    append(api, conversation, LARGE["an image of Anthropic's"])
    path = f"/v1/conversations/{conversation}/messages"
    shown = api.get(f"{path}/msg-001?parts=inline").json
    assert shown["parts"] == LARGE["an image of Anthropic's"]["parts"]
    parts = [{"text": '"' * 2_000_000} for _ in range(2)]
    large = append(api, conversation, {"role": "user", "content": "x", "parts": parts})
    assert api.get(f"{path}/msg-002?parts=inline").json == large
    store.delete(list(store.keys("parts/")))
    assert references(api.get(f"{path}/msg-001?parts=inline").json) == references(get(api, conversation))
    assert api.get(f"{path}/msg-001?parts=inline").json == get(api, conversation)
    assert api.get(f"{path}/msg-001?parts=x").problem[:2] == (422, "INVALID_FORMAT")
