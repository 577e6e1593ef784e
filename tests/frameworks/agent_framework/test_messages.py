"""Messages of the framework: each comes back equal, whatever it holds."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from agent_framework import Content, Message
from asking import conversations_of, dicts

from annals_client.integrations.agent_framework import AnnalsHistoryProvider
from annals_client.testing import Annals, AsyncAnnals

CALL = Content.from_function_call("c-1", "weather", arguments={"city": "Oslo", "days": 2}, id="f-1", status="completed")
PICTURE = Content.from_data(b"\x89PNG\r\n\x1a\n\x00", "image/png", name="a.png")
CHECK: Any = {"id": "check-1", "code": "malicious", "message": "Sure?"}
LINK: Any = {"type": "citation", "title": "Oslo", "url": "https://example.com/oslo", "additional_properties": {}}

CONTENTS = [
    Content.from_text("Snow.", annotations=[LINK], additional_properties={"seen": True}),
    Content.from_text_reasoning(id="r-1", text="It is winter.", protected_data="sealed", status="completed"),
    PICTURE,
    Content.from_uri("https://example.com/a.pdf", media_type="application/pdf", name="a.pdf"),
    Content.from_error(message="No.", error_code="refused", error_details="Too cold."),
    CALL,
    Content.from_function_call("c-2", "clock", arguments='{"zone": ', server_name="tools", hosted=True),
    Content.from_function_result("c-1", result="-3 °C", id="fo-1"),
    Content.from_function_result("c-1", result=[Content.from_text("-3 °C"), PICTURE]),
    Content.from_function_result("c-2", result="Error: no clock", exception="ValueError: no clock"),
    Content.from_usage({"input_token_count": 3, "output_token_count": 5, "total_token_count": 8}),
    Content.from_hosted_file("file-1", media_type="text/csv", name="a.csv"),
    Content.from_hosted_vector_store("store-1"),
    Content.from_code_interpreter_tool_call(call_id="c-3", inputs=[Content.from_text("1 + 1")]),
    Content.from_code_interpreter_tool_result(call_id="c-3", outputs=[Content.from_text("2"), PICTURE]),
    Content.from_image_generation_tool_call(image_id="i-1"),
    Content.from_image_generation_tool_result(image_id="i-1", outputs=PICTURE),
    Content.from_mcp_server_tool_call("c-4", "search", server_name="docs", arguments={"q": None, "n": 1.5}),
    Content.from_mcp_server_tool_result("c-4", output=[{"type": "text", "text": "found", "n": [1, [2]]}]),
    Content.from_search_tool_call("c-5", tool_name="web", arguments="{}"),
    Content.from_search_tool_result("c-5", tool_name="web", result={"hits": []}),
    Content.from_shell_tool_call(call_id="c-6", commands=["ls"], timeout_ms=100, max_output_length=10),
    Content.from_shell_tool_result(
        call_id="c-6", outputs=[Content.from_shell_command_output(stdout="a", stderr="", exit_code=0, timed_out=False)]
    ),
    Content.from_computer_tool_call(
        id="cu-1", call_id="c-7", actions=[{"type": "click", "x": 1, "y": 2}], pending_safety_checks=[CHECK]
    ),
    Content.from_computer_tool_result(call_id="c-7", screenshot=PICTURE, acknowledged_safety_checks=[CHECK]),
    Content.from_function_approval_request("a-1", CALL),
    Content.from_function_approval_response(True, "a-1", CALL),
    Content.from_oauth_consent_request("https://example.com/consent"),
    Content.from_shell_command_output(stdout="a", exit_code=1),
]

DEEP: Any = "deep"
for _ in range(70):
    DEEP = {"in": DEEP}

MESSAGES = [
    Message("user", ["Hello."]),
    Message("user", ["Hello."], author_name="Ada"),
    Message("assistant", ["Hello."], message_id="m-1", additional_properties={"_attribution": {"source_id": "memory"}}),
    Message("assistant", ["One.", "Two.", CALL]),
    Message("system", ["Be brief."]),
    Message("developer", ["Be brief."]),
    Message("critic", ["No."], author_name="line\nbreak"),
    Message("user", []),
    Message("assistant", []),
    Message("tool", []),
    Message("user", [""]),
    Message("user", [" \n "]),
    Message("user", ["NUL \x00, e\u0301, \U0001f468\u200d\U0001f469\u200d\U0001f467, \u202e, half a pair: \ud83d"]),
    Message("user", ["x"], additional_properties={"nan": float("nan"), "inf": float("-inf")}),
    Message("user", ["x"], additional_properties={"big": 2**64 + 1, "huge": 10**1500, "float": 0.1, "none": None}),
    Message("user", ["x"], additional_properties={"deep": DEEP}),
    Message("user", ["x"], additional_properties={"$annalsPart": {"sha256": "0" * 64}, "framework": "x", "json": "y"}),
    Message("user", ["x"], author_name="y" * 300),
]


def written(messages: list[Message]) -> str:
    """Messages as JSON; so not-a-number equals itself."""
    return json.dumps(dicts(messages), sort_keys=True)


@pytest.fixture
def history(async_annals: AsyncAnnals) -> AnnalsHistoryProvider:
    return AnnalsHistoryProvider(client=async_annals)


def test_every_type_of_content_is_tried() -> None:
    from agent_framework._types import ContentType

    assert {content.type for content in CONTENTS} == {*get_args(ContentType)}


@pytest.mark.parametrize("content", CONTENTS, ids=lambda content: content.type)
@pytest.mark.parametrize("role", ["assistant", "tool", "user"])
async def test_contents_come_back_equal(history: AnnalsHistoryProvider, content: Content, role: str) -> None:
    message = Message(role, [content], message_id="m-1", author_name="weather-agent")
    await history.save_messages("s-1", [message])
    assert written(await history.get_messages("s-1")) == written([message])


@pytest.mark.parametrize("message", MESSAGES, ids=range(len(MESSAGES)))
async def test_messages_come_back_equal(history: AnnalsHistoryProvider, message: Message) -> None:
    await history.save_messages("s-1", [message, Message("assistant", ["Yes."])])
    assert written(await history.get_messages("s-1")) == written([message, Message("assistant", ["Yes."])])


async def test_all_contents_in_one_message_come_back_equal(history: AnnalsHistoryProvider) -> None:
    message = Message("assistant", CONTENTS)
    await history.save_messages("s-1", [message])
    await history.save_messages("s-1", [message])
    assert written(await history.get_messages("s-1")) == written([message])


async def test_a_plain_text_is_stored_as_a_plain_message(history: AnnalsHistoryProvider, annals: Annals) -> None:
    await history.save_messages("s-1", [Message("user", ["Hello."], author_name="Ada")])
    (conversation,) = conversations_of(annals)
    (stored,) = annals.messages.list(conversation.conversation_id)
    assert (stored.role, stored.content, stored.name, stored.parts) == ("user", "Hello.", "Ada", None)


async def test_a_text_is_stored_once(history: AnnalsHistoryProvider, annals: Annals) -> None:
    await history.save_messages("s-1", [Message("assistant", ["Hello."], message_id="m-1")])
    (conversation,) = conversations_of(annals)
    (stored,) = annals.messages.list(conversation.conversation_id)
    assert stored.content == "Hello."
    assert stored.parts == {"framework": "agent-framework", "message_id": "m-1"}


async def test_a_call_and_its_result_are_exported_as_such(history: AnnalsHistoryProvider, annals: Annals) -> None:
    result = Content.from_function_result("c-1", result="-3 °C")
    await history.save_messages(
        "s-1", [Message("user", ["Oslo?"]), Message("assistant", [CALL]), Message("tool", [result])]
    )
    (conversation,) = conversations_of(annals)
    window = annals.conversations.context_as(conversation.conversation_id, 1000, "openai-chat")
    call, answer = window.messages[1:]
    assert (call["tool_calls"][0]["id"], call["tool_calls"][0]["function"]["name"]) == ("c-1", "weather")
    assert (answer["role"], answer["tool_call_id"], answer["content"]) == ("tool", "c-1", "-3 °C")


async def test_a_redacted_message_is_left_out(history: AnnalsHistoryProvider, annals: Annals) -> None:
    await history.save_messages("s-1", [Message("user", ["secret"]), Message("assistant", ["Noted."])])
    (conversation,) = conversations_of(annals)
    (first, _) = annals.messages.list(conversation.conversation_id)
    annals.messages.redact(conversation.conversation_id, first.message_id, reason="secret")
    assert [message.text for message in await history.get_messages("s-1")] == ["Noted."]
