"""What a message of one provider becomes in the line of another one's format, and what is left out of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from annals.formats import whole_exchanges
from annals.formats.lines import LINE_FORMATS, read_line, write_line
from tests.support.conversations_made_up import IMAGE, PIXEL, stored

ARGUMENTS = '{"city": "Oslo"}'
OSLO = {"city": "Oslo"}
SYSTEM = {"role": "developer", "content": "Be brief."}
QUESTION = {"role": "user", "content": "Warm?"}
REPLY = {"role": "assistant", "content": "Mild."}


def call(call_id: str = "c1", arguments: str = ARGUMENTS) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": "weather", "arguments": arguments}}


def calls(*some: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": [*some], **more}


def answer(call_id: str = "c1", text: str = "22 °C") -> dict[str, Any]:
    return {"role": "tool", "content": text, "tool_call_id": call_id}


def line(name: str, *messages: Mapping[str, Any]) -> dict[str, Any]:
    text = "".join(write_line(name, stored(messages)))
    return json.loads(text) if text else {}


def written(name: str, *messages: Mapping[str, Any]) -> list[Any]:
    found = line(name, *messages)
    return found.get("messages", found.get("conversations", []))


def test_calls_of_openai_become_blocks_of_anthropic() -> None:
    assert line("anthropic", SYSTEM, QUESTION, calls(call()), answer(), REPLY) == {
        "messages": [
            {"role": "user", "content": "Warm?"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "weather", "input": OSLO}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "22 °C"}]},
            {"role": "assistant", "content": "Mild."},
        ],
        "system": "Be brief.",
    }  # fmt: skip


def test_calls_of_openai_become_blocks_of_bedrock() -> None:
    assert line("bedrock", SYSTEM, QUESTION, calls(call()), answer()) == {
        "schemaVersion": "bedrock-conversation-2024",
        "messages": [
            {"role": "user", "content": [{"text": "Warm?"}]},
            {"role": "assistant", "content": [{"toolUse": {"toolUseId": "c1", "name": "weather", "input": OSLO}}]},
            {"role": "user", "content": [{"toolResult": {"toolUseId": "c1", "content": [{"text": "22 °C"}]}}]},
        ],
        "system": [{"text": "Be brief."}],
    }  # fmt: skip


def test_a_call_and_its_result_are_one_part_of_the_ai_sdk_s() -> None:
    tool = {"type": "tool-weather", "toolCallId": "c1", "input": {"city": "Oslo"}}
    assert written("ai-sdk", QUESTION, calls(call(), reasoning_content="Hm."), answer(), REPLY) == [
        {"id": "msg-001", "role": "user", "parts": [{"type": "text", "text": "Warm?"}]},
        {
            "id": "msg-002",
            "role": "assistant",
            "parts": [{"type": "reasoning", "text": "Hm."}, {**tool, "state": "output-available", "output": "22 °C"}],
        },
        {"id": "msg-004", "role": "assistant", "parts": [{"type": "text", "text": "Mild."}]},
    ]


def test_a_failed_call_says_so_in_every_format_that_can() -> None:
    failed = {"type": "tool_result", "tool_use_id": "t", "content": "no", "is_error": True}
    use = {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]}
    talk = (QUESTION, use, {"role": "user", "content": [failed]})
    assert written("anthropic", *talk)[-1]["content"] == [failed]
    result = {"toolUseId": "t", "content": [{"text": "no"}], "status": "error"}
    assert written("bedrock", *talk)[-1]["content"] == [{"toolResult": result}]
    [part] = written("ai-sdk", *talk)[-1]["parts"]
    assert (part["state"], part["errorText"]) == ("output-error", "no")


def test_calls_of_anthropic_become_openai_s_with_the_reply_after_them() -> None:
    use = {"type": "tool_use", "id": "t", "name": "weather", "input": {"city": "Oslo"}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "22 °C"}]}
    assert written(
        "openai-chat",
        QUESTION,
        {"role": "assistant", "content": [{"type": "text", "text": "I look."}, use]},
        {"role": "user", "content": [result, {"type": "text", "text": "And tomorrow?"}]},
    ) == [
        QUESTION,
        {"role": "assistant", "content": "I look.", "tool_calls": [call("t", '{"city":"Oslo"}')]},
        {"role": "tool", "content": "22 °C", "tool_call_id": "t"},
        {"role": "user", "content": "And tomorrow?"},
    ]


def test_calls_without_ids_get_some() -> None:
    use = {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"n": n}}} for n in (1, 2)]}
    results = {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"result": n}}} for n in "ab"]}
    _, called, *answered = written("openai-chat", QUESTION, use, results)
    assert [each["id"] for each in called["tool_calls"]] == [each["tool_call_id"] for each in answered]
    assert [each["content"] for each in answered] == ["a", "b"]


def test_sharegpt_has_calls_and_observations() -> None:
    assert written(
        "sharegpt", {"role": "system", "content": "Be brief."}, QUESTION, calls(call()), answer(), REPLY
    ) == [
        {"from": "system", "value": "Be brief."},
        {"from": "human", "value": "Warm?"},
        {"from": "function_call", "value": '{"name":"weather","arguments":{"city":"Oslo"}}'},
        {"from": "observation", "value": "22 °C"},
        {"from": "gpt", "value": "Mild."},
    ]


def test_calls_made_together_are_one_entry_of_sharegpt_and_several_when_read() -> None:
    talk = (QUESTION, calls(call("a"), call("b")), answer("a", "1"), answer("b", "[2]"))
    found = line("sharegpt", *talk)
    assert found["conversations"][2] == {"from": "observation", "value": '["1","[2]"]'}
    _, _, *results = read_line(found) or []
    assert [each["content"] for each in results] == ["1", "[2]"]


@pytest.mark.parametrize("speaker", ["human", "user"])
@pytest.mark.parametrize("model", ["gpt", "chatgpt", "assistant", "bing"])
def test_speakers_of_sharegpt_go_by_many_names(speaker: str, model: str) -> None:
    said = [{"from": speaker, "value": "Hi"}, {"from": model, "value": "Ho"}]
    messages = read_line({"system": "Be brief.", "conversations": said}) or []
    assert [(each["role"], each["content"]) for each in messages] == [
        ("system", "Be brief."), ("user", "Hi"), ("assistant", "Ho"),
    ]  # fmt: skip


def test_fields_of_compatible_models_stand_beside_tool_calls() -> None:
    message = calls(call(), reasoning_content="Hm.")
    assert written("openai-chat", QUESTION, {**message, "usage": {"total_tokens": 3}}, answer()) == [
        QUESTION, message, answer(),
    ]  # fmt: skip


def test_an_image_is_each_format_s_own() -> None:
    ask = {
        "role": "user",
        "content": [{"type": "image_url", "image_url": {"url": IMAGE}}, {"type": "text", "text": "?"}],
    }
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    assert written("anthropic", ask)[0]["content"][0] == image
    assert written("bedrock", ask)[0]["content"][0] == {"image": {"format": "png", "source": {"bytes": PIXEL}}}
    assert written("ai-sdk", ask)[0]["parts"][0] == {"type": "file", "mediaType": "image/png", "url": IMAGE}
    assert written("openai-chat", {"role": "user", "content": [image, {"type": "text", "text": "?"}]}) == [ask]


def test_words_beside_an_image_that_were_given_apart_are_kept() -> None:
    ask = {"role": "user", "content": "Look", "parts": [{"type": "image_url", "image_url": {"url": IMAGE}}]}
    for name, content in (
        ("openai-chat", "content"),
        ("anthropic", "content"),
        ("bedrock", "content"),
        ("ai-sdk", "parts"),
    ):
        first, _ = written(name, ask)[0][content]
        assert first["text"] == "Look"


def test_the_name_of_a_file_is_no_word_of_the_message() -> None:
    file = {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}}
    block = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}}
    assert written("anthropic", {"role": "user", "content": [file]}) == [
        {"role": "user", "content": [{**block, "title": "a.pdf"}]}
    ]


def test_a_refusal_is_what_was_said() -> None:
    refused = {"role": "assistant", "content": None, "refusal": "No."}
    assert written("anthropic", QUESTION, refused) == [QUESTION, {"role": "assistant", "content": "No."}]
    assert written("openai-chat", QUESTION, refused) == [QUESTION, refused]


def test_a_call_of_a_function_without_an_id_is_answered_by_the_function() -> None:
    legacy = {"role": "assistant", "content": None, "function_call": {"name": "weather", "arguments": ARGUMENTS}}
    result = {"role": "function", "name": "weather", "content": "22 °C"}
    assert written("openai-chat", QUESTION, legacy, result, REPLY) == [QUESTION, legacy, result, REPLY]
    _, called, answered, _ = written("anthropic", QUESTION, legacy, result, REPLY)
    assert called["content"][0]["id"] == answered["content"][0]["tool_use_id"]


def test_parts_that_are_no_provider_s_leave_the_words() -> None:
    odd = {"role": "user", "content": "Hi", "parts": [{"odd": [None, 1.5, {}]}]}
    assert written("openai-chat", odd) == written("anthropic", odd) == [{"role": "user", "content": "Hi"}]


def test_thinking_goes_where_its_provider_can_verify_it() -> None:
    reply = {
        "role": "assistant",
        "content": [{"type": "thinking", "thinking": "Hm", "signature": "s"}, {"type": "text", "text": "Ho"}],
    }
    told = {"reasoningContent": {"reasoningText": {"text": "Hm", "signature": "s"}}}
    assert written("bedrock", QUESTION, reply)[1]["content"] == [told, {"text": "Ho"}]
    assert written("openai-chat", QUESTION, reply)[1] == {"role": "assistant", "content": "Ho"}
    assert written("anthropic", QUESTION, {**REPLY, "reasoning_content": "Hm"})[1] == REPLY


def test_messages_in_a_row_by_the_same_speaker_are_one() -> None:
    assert written("anthropic", QUESTION, {"role": "user", "content": "Oslo."}, REPLY, REPLY) == [
        {"role": "user", "content": [{"type": "text", "text": "Warm?"}, {"type": "text", "text": "Oslo."}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Mild."}, {"type": "text", "text": "Mild."}]},
    ]


def test_what_is_said_before_the_user_is_left_out_where_a_format_begins_with_the_user() -> None:
    greeting = {"role": "assistant", "content": "Hello!"}
    for name in ("anthropic", "bedrock", "sharegpt"):
        assert len(written(name, greeting, QUESTION)) == 1
    assert written("openai-chat", greeting, QUESTION) == [greeting, QUESTION]


def test_of_two_agents_the_first_one_to_speak_is_the_user() -> None:
    said = [("planner", "Book it."), ("booker", "Done."), ("planner", "Thanks."), ("planner", "Bye.")]
    talk = [{"role": "assistant", "content": text, "from": sender, "to": "x"} for sender, text in said]
    assert [(each["role"], len(each["content"])) for each in written("bedrock", *talk)] == [
        ("user", 1), ("assistant", 1), ("user", 2),
    ]  # fmt: skip
    assert [each["from"] for each in written("sharegpt", *talk)] == ["human", "gpt", "human"]
    assert {each["role"] for each in written("openai-chat", *talk)} == {"assistant"}


@pytest.mark.parametrize("name", LINE_FORMATS)
def test_a_conversation_without_messages_has_no_line(name: str) -> None:
    assert "".join(write_line(name, [])) == ""
    assert "".join(write_line(name, stored([{"role": "assistant", "content": ""}])[:0])) == ""


def test_the_results_of_a_call_come_right_after_it() -> None:
    hurry = {"role": "user", "content": "Hurry!"}
    both = calls(call("a"), call("b"))
    assert written("openai-chat", QUESTION, both, answer("a"), hurry, answer("b"), REPLY) == [
        QUESTION, both, answer("a"), answer("b"), hurry, REPLY,
    ]  # fmt: skip


@pytest.mark.parametrize("name", LINE_FORMATS)
@pytest.mark.parametrize(
    "torn",
    [
        [calls(call("a"), call("b")), answer("a")],
        [answer("nobody")],
        [calls(call("a"))],
        [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "nobody", "content": "x"}]}],
    ],
)
def test_an_exchange_that_is_not_whole_is_left_out(name: str, torn: Sequence[dict[str, Any]]) -> None:
    assert written(name, QUESTION, *torn, REPLY) == with_later_ids(written(name, QUESTION, REPLY), len(torn))


def with_later_ids(messages: list[Any], by: int) -> list[Any]:
    """The messages, of which the AI SDK's reply has the id of a later one."""
    if "id" in messages[-1]:
        messages[-1]["id"] = f"msg-{2 + by:03}"
    return messages


def test_calls_with_which_a_conversation_ends_are_kept() -> None:
    for name in LINE_FORMATS:
        assert len(written(name, QUESTION, calls(call()))) == 2


def test_an_exchange_of_which_a_message_was_redacted_is_left_out() -> None:
    for redacted in (1, 2):
        messages = stored([QUESTION, calls(call()), answer(), REPLY])
        messages[redacted] = {"messageId": "m", "seq": redacted + 1, "status": "redacted"}
        assert json.loads("".join(write_line("openai-chat", messages)))["messages"] == [QUESTION, REPLY]


@pytest.mark.parametrize(
    "arguments", ["{", "[1]", "1e999", '{"n": 1e999}', '{"a": "\\ud800"}', '{"n": NaN}', "[" * 99_999]
)
def test_a_call_whose_arguments_are_no_object_goes_with_its_result(arguments: str) -> None:
    for name in ("anthropic", "bedrock"):
        messages = written(name, QUESTION, calls(call("a"), call("b", arguments)), answer("a"), answer("b"), REPLY)
        assert [len(each["content"]) for each in messages[1:3]] == [1, 1]
    assert written("openai-chat", QUESTION, calls(call("a", arguments)), answer("a"))[1] == calls(call("a", arguments))


def test_ids_that_a_provider_refuses_are_written_otherwise_and_once() -> None:
    odd = (QUESTION, calls(call("a:1")), answer("a:1"), QUESTION, calls(call("a/1")), answer("a/1"), QUESTION)
    ids = [block["id"] for each in written("anthropic", *odd)[1::2] for block in each["content"]]
    assert ids == ["a_1", "a_1-2"]
    answered = [each["content"][0]["tool_use_id"] for each in written("anthropic", *odd)[2::2]]
    assert answered == ids


def test_a_line_is_written_while_its_messages_are_read() -> None:
    asked: list[int] = []

    def read() -> Iterator[dict[str, Any]]:
        for number, message in enumerate(stored([QUESTION, REPLY] * 1_000)):
            asked.append(number)
            yield message

    for name in LINE_FORMATS:
        asked.clear()
        pieces = write_line(name, read())
        while "Warm?" not in next(pieces):
            pass
        assert len(asked) <= 3


def test_a_call_waits_for_its_results_so_far_and_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_exchanges, "MAX_WAITING", 10)
    near, far = [QUESTION] * 8, [QUESTION] * 12
    assert len(written("openai-chat", calls(call()), *near, answer())) == 10
    assert written("openai-chat", calls(call()), *far, answer()) == far


def test_an_unanswered_call_tears_no_exchange_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_exchanges, "MAX_WAITING", 10)
    later = [each for n in range(40) for each in (calls(call(f"c{n}")), answer(f"c{n}"))]
    assert written("openai-chat", calls(call("nobody")), *later) == later
