"""Files of other apps are recognised by what they hold, and come in with their words, times, ids and titles, once."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from typing import Any

import pytest
from langchain_core.load import dumpd
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage, messages_to_dict

from annals.conversations import import_parsing
from tests.support import app_files
from tests.support.api import Api, Reply
from tests.support.talk import SPACE, talk

pytestmark = pytest.mark.usefixtures("moto")

PATH = "/v1/conversations/import"
OWNERS = "memorySpaceId=space-1&userId=ada"


def bring(api: Api, file: Any, query: str = OWNERS, content_type: str = "application/json") -> Reply:
    body = file if isinstance(file, bytes | str) else json.dumps(file)
    return api.post(f"{PATH}?{query}", body, content_type=content_type)


def imported(api: Api, file: Any, **how: Any) -> list[str]:
    """The ids of the conversations of a file, in the file's order."""
    answer = bring(api, file, **how)
    assert answer.status == 200, answer.body
    assert "broken" not in answer.json
    return [each["conversationId"] for each in answer.json["conversations"]]


def messages(api: Api, conversation_id: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = api.get(f"/v1/conversations/{conversation_id}/messages?order=asc").json["items"]
    return items


def said(api: Api, conversation_id: str) -> list[tuple[str, str]]:
    return [(each["role"], each["content"]) for each in messages(api, conversation_id)]


def get(api: Api, conversation_id: str) -> dict[str, Any]:
    found: dict[str, Any] = api.get(f"/v1/conversations/{conversation_id}").json
    return found


def zipped(*files: tuple[str, Any]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(name, content if isinstance(content, str | bytes) else json.dumps(content))
    return buffer.getvalue()


def test_chatgpt_s_export_comes_as_the_branch_that_is_shown(api: Api) -> None:
    [name] = imported(api, [app_files.chatgpt()])
    assert said(api, name) == [
        ("user", "Weather in Turku?\ntickets.pdf"),
        ("assistant", ""),
        ("tool", "4 °C, rain"),
        ("assistant", "Rain at 4 °C \U0001f327"),
    ]
    conversation = get(api, name)
    assert conversation["metadata"] == {
        "title": "A trip to Turku", "source": {"app": "chatgpt", "id": "trip"}, "model": "gpt-4o", "gizmo": "g-abc",
        "archived": True,
    }  # fmt: skip
    assert conversation["participants"] == {"memorySpaceId": "space-1", "userId": "ada"}
    assert (conversation["createdAt"], conversation["lastMessageAt"]) == (
        "2024-06-01T07:00:00.123Z", "2024-06-01T07:00:07.125Z",
    )  # fmt: skip


def test_chatgpt_s_calls_results_thoughts_and_images_are_in_parts_and_other_branches_beside(api: Api) -> None:
    [name] = imported(api, [app_files.chatgpt()])
    ask, call, result, answer = messages(api, name)
    assert [each["externalId"] for each in (ask, call, result, answer)] == ["ask-2", "call", "result", "answer-2"]
    assert ask["metadata"]["branches"] == [
        {"role": "user", "content": "Weather in Turko?", "timestamp": "2024-06-01T07:00:01.250Z"},
        {"role": "assistant", "content": "I know no such place.", "timestamp": "2024-06-01T07:00:02.000Z"},
    ]
    function = {"name": "weather.get", "arguments": '{"city":"Turku"}'}
    assert call["parts"] == {
        "tool_calls": [{"id": "call", "type": "function", "function": function}],
        "reasoning_content": "Weather\nI should look it up.",
    }
    assert (result["parts"], result["name"]) == ({"tool_call_id": "call"}, "weather.get")
    assert answer["parts"][1]["asset_pointer"] == "file-service://file-123"
    assert answer["metadata"] == {"model": "gpt-4o", "branches": [{"role": "assistant", "content": "It rains."}]}


def test_claude_s_export_keeps_blocks_and_the_text_of_attachments(api: Api) -> None:
    [name] = imported(api, [app_files.claude()])
    question, answer, thanks = messages(api, name)
    assert question["content"] == "What can I cook?\nfridge.txt\nBeetroot\nphoto.png"
    assert answer["content"] == "Borscht\nBorscht!"
    assert [part["type"] for part in answer["parts"]] == ["thinking", "tool_use", "tool_result", "text"]
    assert ("parts" in thanks, thanks["content"], thanks["timestamp"]) == (False, "Thanks", "2024-05-01T10:00:02.123Z")
    assert get(api, name)["metadata"]["title"] == "Cooking"


@pytest.mark.parametrize("recursive", [False, True])
def test_librechat_s_export_comes_flat_or_as_a_tree(api: Api, *, recursive: bool) -> None:
    [name] = imported(api, app_files.librechat(recursive=recursive))
    assert said(api, name) == [
        ("user", "How thirsty is a van?\nvan.jpg"),
        ("assistant", "8.2 l\nIt takes 8.2 l."),
        ("user", "And a bus?"),
        ("assistant", "A lot"),
    ]
    _, answer, _, last = messages(api, name)
    assert answer["metadata"]["branches"][0]["content"] == "No idea."
    assert answer["metadata"]["model"] == "gpt-4o"
    assert last["status"] == "incomplete"
    assert [each["externalId"] for each in messages(api, name)] == ["one", "three", "four", "five"]


def test_open_webui_s_thinking_and_calls_are_taken_out_of_the_text(api: Api) -> None:
    [name] = imported(api, [app_files.open_webui()])
    ask, answer = messages(api, name)
    assert (ask["content"], answer["content"]) == ("15 * 17?", "255\n255")
    assert [part["type"] for part in answer["parts"]] == ["thinking", "tool_use", "tool_result", "text"]
    assert answer["parts"][0]["thinking"] == "Fifteen."
    assert answer["parts"][1]["input"] == {"a": 15}
    assert answer["metadata"] == {
        "model": "deepseek-r1",
        "branches": [{"role": "assistant", "content": "253", "timestamp": "2023-11-14T22:13:25.000Z"}],
    }
    assert ask["parts"][1]["image_url"] == {"url": "data:image/png;base64,AAAA"}


def test_lobechat_s_tables_are_brought_together_by_topic(api: Api) -> None:
    cats, inbox = imported(api, app_files.lobechat())
    assert said(api, cats) == [
        ("user", "Cats?"), ("assistant", ""), ("tool", "A cat is an animal."), ("assistant", "Animals."),
    ]  # fmt: skip
    assert messages(api, cats)[1]["parts"]["tool_calls"][0]["function"]["name"] == "search"
    assert messages(api, cats)[2]["parts"]["tool_call_id"] == "call_1"
    assert get(api, cats)["metadata"]["title"] == "About cats"
    assert said(api, inbox) == [("user", "Hello inbox")]


def test_lobechat_s_newer_export_has_its_tools_in_a_table_of_their_own(api: Api) -> None:
    tables = app_files.lobechat()["state"]
    plugins = [{"id": "m4", "toolCallId": "call_1", "apiName": "search"}]
    for message in tables["messages"]:
        message.pop("tool_call_id", None)
        message.pop("plugin", None)
        message["createdAt"] = f"2024-01-01T00:00:0{message['id'][1]}.000Z"
    file = {"data": {**tables, "messagePlugins": plugins}, "mode": "postgres", "schemaHash": "x"}
    cats, _ = imported(api, file)
    assert messages(api, cats)[2]["parts"]["tool_call_id"] == "call_1"


def test_cortex_conversations_keep_their_ids_and_participants(api: Api) -> None:
    names = imported(api, [app_files.cortex(), app_files.cortex_agents()], query="memorySpaceId=space-1")
    assert names == ["conv-1700000000000-abc", "a2a-1"]
    conversation = get(api, names[0])
    assert conversation["participants"] == {"userId": "ada", "agentId": "bot", "memorySpaceId": "space-1"}
    assert (conversation["createdAt"], conversation["lastMessageAt"]) == (
        "2023-11-14T22:13:20.000Z", "2023-11-14T22:13:21.123Z",
    )  # fmt: skip
    user, agent = messages(api, names[0])
    assert (user["externalId"], user["content"]) == ("msg-1", "The codeword is kumquat")
    assert (agent["role"], agent["originalRole"], agent["participantId"]) == ("assistant", "agent", "bot")
    assert agent["metadata"] == {"tokens": 3}
    first, second = messages(api, names[1])
    assert (first["from"], first["to"], first["content"]) == ("planner", "doer", "Do it")
    assert second["timestamp"] == "2023-11-14T22:13:21.000Z"


def test_a_message_of_an_agent_that_names_itself_is_that_participant_s(api: Api) -> None:
    conversation = app_files.cortex()
    conversation["messages"][1] = {**conversation["messages"][1], "participantId": None, "agentId": "helper"}
    [name] = imported(api, [conversation], query="memorySpaceId=space-1")
    assert messages(api, name)[1]["participantId"] == "helper"


def test_what_cortex_s_export_function_gives_is_taken_too(api: Api) -> None:
    file = {"format": "json", "data": json.dumps([app_files.cortex()]), "count": 1, "exportedAt": 1}
    assert imported(api, file, query="memorySpaceId=space-1") == ["conv-1700000000000-abc"]


@pytest.mark.parametrize(
    "file",
    [
        app_files.SHAREGPT,
        [app_files.SHAREGPT],
        {"id": "x", "items": app_files.SHAREGPT["conversations"]},
        app_files.SHAREGPT["conversations"],
        "\n".join(map(json.dumps, app_files.SHAREGPT["conversations"])),
    ],
)
def test_sharegpt_comes_as_lines_or_lists(api: Api, file: Any) -> None:
    [name] = imported(api, file)
    assert said(api, name) == [("system", "Be kind."), ("user", "Who are you?"), ("assistant", "A model.")]


@pytest.mark.parametrize(
    "file",
    [
        app_files.LANGCHAIN,
        app_files.LANGCHAIN_DUMPS,
        {"messages": app_files.LANGCHAIN},
        [app_files.LANGCHAIN],
        "\n".join(map(json.dumps, app_files.LANGCHAIN)),
    ],
)
def test_dumps_of_langchain_s_messages_come_whole_or_line_by_line(api: Api, file: Any) -> None:
    [name] = imported(api, file)
    assert said(api, name) == [("user", "Weather?"), ("assistant", "Rain.")]


@pytest.mark.parametrize("write", [messages_to_dict, dumpd])
def test_what_langchain_itself_writes_is_read(api: Api, write: Any) -> None:
    call = {"name": "weather", "args": {"city": "Oslo"}, "id": "call_1"}
    file = write(
        [
            SystemMessage("Be brief."),
            HumanMessage(
                [{"type": "text", "text": "Weather?"}, {"type": "image_url", "image_url": {"url": "http://x/y"}}]
            ),
            AIMessage("", tool_calls=[call], usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}),
            ToolMessage("Rain", tool_call_id="call_1", name="weather"),
            AIMessage("It rains."),
        ]
    )
    [name] = imported(api, file)
    assert said(api, name) == [
        ("system", "Be brief."), ("user", "Weather?"), ("assistant", ""), ("tool", "Rain"), ("assistant", "It rains."),
    ]  # fmt: skip
    assert imported(api, json.dumps(file, indent=2)) == [name]


@pytest.mark.parametrize(
    "file",
    [
        [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}],
        [{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}], "tools": []}],
        '{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]}',
    ],
)
def test_chats_of_openai_s_shape_come_as_lines_lists_or_bare_messages(api: Api, file: Any) -> None:
    [name] = imported(api, file)
    assert said(api, name) == [("user", "hi"), ("assistant", "hello")]


def test_a_chat_gets_the_same_id_in_a_list_as_in_lines(api: Api) -> None:
    chat = {"messages": [{"role": "user", "content": "hi"}]}
    line = json.dumps(chat, separators=(",", ":"))
    assert imported(api, line) == imported(api, f"[\n{json.dumps(chat, indent=1)}\n]")


@pytest.mark.parametrize("name", ["json", "jsonl", "csv", "ledger"])
def test_annals_own_exports_come_back_as_they_were(api: Api, name: str) -> None:
    talk(api)
    talk(api, "plain", rich=False)
    file = api.get(f"/v1/conversations/export?format={name}").body
    other = Api.of(f"{api.caller.tenant}-{name}")
    kind = "text/csv" if name == "csv" else "application/json"
    query = "&".join(f"{key}={value}" for key, value in SPACE.items())
    assert sorted(imported(other, file, query=query, content_type=kind)) == ["plain", "talk"]
    assert [without_place(each) for each in messages(other, "talk")] == [
        without_place(each) for each in messages(api, "talk")
    ]
    whole = other.get("/v1/conversations/talk/messages?order=asc&includeArchived=true").json["items"]
    original = api.get("/v1/conversations/talk/messages?order=asc&includeArchived=true").json["items"]
    assert list(map(without_place, whole)) == list(map(without_place, original))
    if name != "csv":
        kept = ("type", "participants", "createdAt", "lastMessageAt", "status", "messageCount")
        assert [get(other, "talk")[field] for field in kept] == [get(api, "talk")[field] for field in kept]
    assert bring(other, file, query=query, content_type=kind).json["conversations"][0]["imported"] == 0


def without_place(message: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name not in ("messageId", "seq")}


def test_a_single_conversation_s_json_comes_back(api: Api) -> None:
    talk(api)
    file = api.get("/v1/conversations/talk/export?format=json").body
    assert imported(Api.of(f"{api.caller.tenant}-copy"), file, query="") == ["talk"]


def test_zip_and_gzip_are_opened(api: Api) -> None:
    other = ("user.json", {"id": "u", "email": "a@example.org"})
    file = zipped(("export/conversations.json", [app_files.chatgpt()]), other, ("chat.html", "<html>"))
    [name] = imported(api, file, content_type="application/zip")
    assert imported(
        api, gzip.compress(json.dumps([app_files.chatgpt()]).encode()), content_type="application/gzip"
    ) == [name]


def test_a_zip_may_hold_its_conversations_in_several_files(api: Api) -> None:
    first, second = app_files.chatgpt("one", "One"), app_files.chatgpt("two", "Two")
    file = zipped(("conversations-000.json", [first]), ("conversations-001.json", [second]))
    assert [get(api, name)["metadata"]["title"] for name in imported(api, file, content_type="application/zip")] == [
        "One", "Two",
    ]  # fmt: skip


def test_a_zip_bomb_is_refused(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_parsing, "MAX_UNPACKED_BYTES", 2_000_000)
    answer = bring(api, zipped(("conversations.json", b" " * 3_000_000)), content_type="application/zip")
    assert answer.problem == (413, "REQUEST_TOO_LARGE", "body")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"PK\x03\x04 no zip", "application/zip"),
        (b"\x1f\x8b no gzip", "application/gzip"),
        (zipped(("photo.png", b"x")), "application/zip"),
    ],
)
def test_a_damaged_archive_is_refused(api: Api, body: bytes, kind: str) -> None:
    answer = bring(api, body, content_type=kind)
    assert answer.problem == (422, "INVALID_FORMAT", "body")


@pytest.mark.parametrize(
    "file", ['{"hello": 1}', "[{}]", "hello", '{"format": "json", "data": "x"}', '"text"', "[[1]]"]
)
def test_an_unknown_file_is_refused_and_the_answer_says_what_is_taken(api: Api, file: str) -> None:
    answer = bring(api, file)
    assert answer.problem[:2] == (422, "INVALID_FORMAT")
    assert "ChatGPT" in answer.json["detail"] or "no JSON object" in answer.json["detail"]


def test_importing_again_stores_nothing_and_a_conversation_that_went_on_is_completed(api: Api) -> None:
    file = [app_files.chatgpt(), app_files.claude(), app_files.open_webui()]
    first = imported(api, file)
    answer = bring(api, file)
    assert [(each["imported"], each["skipped"]) for each in answer.json["conversations"]] == [(0, 4), (0, 3), (0, 2)]
    grown = app_files.chatgpt()
    more = {
        "author": {"role": "user"},
        "create_time": 1717225300.0,
        "content": {"content_type": "text", "parts": ["Ok"]},
    }
    grown["mapping"]["more"] = {"id": "more", "parent": "answer-2", "children": [], "message": more}
    branch = {"author": {"role": "user"}, "content": {"content_type": "text", "parts": ["Another question"]}}
    grown["mapping"]["branch"] = {"id": "branch", "parent": "context", "children": [], "message": branch}
    grown["current_node"] = "more"
    answer = bring(api, [grown])
    assert answer.json["conversations"] == [{"conversationId": first[0], "imported": 1, "skipped": 4}]
    assert said(api, first[0])[-1] == ("user", "Ok")


def test_the_same_conversation_of_another_owner_is_another_one(api: Api) -> None:
    [ada] = imported(api, [app_files.chatgpt()])
    [bob] = imported(api, [app_files.chatgpt()], query="memorySpaceId=space-1&userId=bob")
    assert ada != bob


def test_whose_they_are_must_be_said(api: Api) -> None:
    assert bring(api, [app_files.chatgpt()], query="userId=ada").problem == (
        422, "MISSING_REQUIRED_FIELD", "memorySpaceId",
    )  # fmt: skip
    assert bring(api, [app_files.cortex()], query="skipBroken=true").status == 200
    assert bring(api, [app_files.chatgpt()], query="skipBroken=true").problem[:2] == (422, "INVALID_PARTICIPANTS")


def too_large(title: str = "Large") -> dict[str, Any]:
    conversation = app_files.claude("large", title)
    conversation["chat_messages"][2]["text"] = "x" * 400_000
    return conversation


def test_a_broken_conversation_is_named_and_nothing_is_stored(api: Api) -> None:
    answer = bring(api, [app_files.chatgpt(), too_large(), app_files.open_webui()])
    assert answer.problem == (413, "ENTRY_TOO_LARGE", "conversation 2")
    assert answer.json["detail"].startswith('Conversation 2 ("Large"), message 3: ')
    assert api.get("/v1/conversations").json["items"] == []


def test_a_broken_conversation_is_left_out_where_that_is_asked_for(api: Api) -> None:
    file = [app_files.chatgpt(), too_large(), {"hello": 1}, app_files.open_webui()]
    answer = bring(api, file, query=f"{OWNERS}&skipBroken=true").json
    assert [each["imported"] for each in answer["conversations"]] == [4, 2]
    large, unknown = answer["broken"]
    assert (large["place"], large["title"], large["code"]) == ("conversation 2", "Large", "ENTRY_TOO_LARGE")
    assert (unknown["place"], unknown["code"]) == ("conversation 3", "INVALID_FORMAT")
    assert len(api.get("/v1/conversations/export?format=jsonl").body.splitlines()) == 8


def test_a_conversation_that_differs_from_what_is_stored_is_left_out_too(api: Api) -> None:
    [name] = imported(api, [app_files.chatgpt()])
    changed = app_files.chatgpt()
    changed["current_node"] = "answer-1"
    answer = bring(api, [changed, app_files.claude()])
    assert answer.problem[:2] == (409, "CONVERSATION_DIFFERS")
    assert 'onversation 1 ("A trip to Turku")' in answer.json["detail"]
    answer = bring(api, [changed, app_files.claude()], query=f"{OWNERS}&skipBroken=true")
    [broken] = answer.json["broken"]
    assert (broken["conversationId"], broken["code"]) == (name, "CONVERSATION_DIFFERS")
    assert [each["imported"] for each in answer.json["conversations"]] == [3]


def test_a_conversation_that_comes_twice_is_taken_once(api: Api) -> None:
    file = [app_files.chatgpt(), app_files.claude(), app_files.chatgpt()]
    answer = bring(api, file)
    assert answer.problem == (422, "INVALID_FORMAT", "conversation 3")
    assert "as conversation 1" in answer.json["detail"]
    answer = bring(api, file, query=f"{OWNERS}&skipBroken=true").json
    assert [each["imported"] for each in answer["conversations"]] == [4, 3]
    assert [each["place"] for each in answer["broken"]] == ["conversation 3"]


def own(*lines: Any) -> str:
    return "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)


def conversation(name: str) -> dict[str, Any]:
    return {"type": "conversation", "conversationType": "user-agent", "conversationId": name, "participants": SPACE}


def message(name: str, content: str, **more: Any) -> dict[str, Any]:
    return {"type": "message", "conversationId": name, "role": "user", "content": content, **more}


@pytest.mark.parametrize("damaged", ["{", message("b", "x", role="bot"), {**message("b", "x"), "colour": "red"}])
def test_a_damaged_line_breaks_the_whole_of_its_conversation_and_no_other(api: Api, damaged: Any) -> None:
    file = own(
        conversation("a"), message("a", "1"),
        conversation("b"), message("b", "1"), damaged, message("b", "3"),
        conversation("c"), message("c", "1"),
    )  # fmt: skip
    answer = bring(api, file, query="skipBroken=true").json
    assert [each["conversationId"] for each in answer["conversations"]] == ["a", "c"]
    assert [(each["place"], each["conversationId"]) for each in answer["broken"]] == [("line 5", "b")]
    assert api.get("/v1/conversations/b").status == 404


def test_a_dry_run_says_what_would_be_imported_and_stores_nothing(api: Api) -> None:
    file = [app_files.chatgpt(), app_files.claude()]
    answer = bring(api, file, query=f"{OWNERS}&dryRun=true").json
    assert [(each["imported"], each["skipped"]) for each in answer["conversations"]] == [(4, 0), (3, 0)]
    assert api.get("/v1/conversations").json["items"] == []
    assert [each["conversationId"] for each in answer["conversations"]] == imported(api, file)
    answer = bring(api, file, query=f"{OWNERS}&dryRun=true").json
    assert [(each["imported"], each["skipped"]) for each in answer["conversations"]] == [(0, 4), (0, 3)]


def test_a_dry_run_takes_a_part_whose_earlier_parts_are_not_stored(api: Api) -> None:
    part = own({**conversation("a"), "offset": 5}, message("a", "6"))
    answer = bring(api, part, query="dryRun=true")
    assert answer.json["conversations"] == [{"conversationId": "a", "imported": 1, "skipped": 0}]
    assert bring(api, part, query="").problem == (409, "CONVERSATION_DIFFERS", "offset")


@pytest.mark.parametrize("query", ["skipBroken=yes", "dryRun=1"])
def test_a_flag_is_true_or_false(api: Api, query: str) -> None:
    assert bring(api, [app_files.cortex()], query=query).problem == (422, "INVALID_FORMAT", query.partition("=")[0])


def test_a_tree_of_other_words_of_one_message_goes_with_its_redaction(api: Api) -> None:
    [name] = imported(api, [app_files.chatgpt()])
    api.post(f"/v1/conversations/{name}/messages/msg-001/redact", {"reason": "asked"})
    assert b"Turko" not in api.get(f"/v1/conversations/{name}/export").body
    assert [each["imported"] for each in bring(api, [app_files.chatgpt()]).json["conversations"]] == [0]


def test_a_ledger_s_redacted_message_keeps_its_place(api: Api) -> None:
    bring(api, own(conversation("a"), message("a", "secret"), message("a", "2")), query="")
    api.post("/v1/conversations/a/messages/msg-001/redact", {"reason": "asked"})
    file = api.get("/v1/conversations/a/export?format=ledger").body
    other = Api.of(f"{api.caller.tenant}-copy")
    assert imported(other, file, query="") == ["a"]
    assert [each.get("status") for each in messages(other, "a")] == ["redacted", None]
