"""Summaries of conversations, over the functions' real events."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from annals.errors import ChatUnavailable, ConversationErased
from annals.ledger.keys import conversation_pk
from annals.memory import summarizing
from annals.memory.summarizers import ModelSummarizer, OfflineSummarizer, WrittenSummary, get_summarizer
from annals.providers.chat import ChatMessage, Pieces
from annals.providers.structured import StructuredChat
from tests.conftest import Setting
from tests.fakes.writer import Writer, summary_of
from tests.support.api import Api
from tests.support.stack import function

pytestmark = pytest.mark.usefixtures("moto")

CHAT = "/v1/conversations/chat"
Write = Callable[..., Writer]


@pytest.fixture
def write(monkeypatch: pytest.MonkeyPatch) -> Write:
    """Has a chat model give these replies."""

    def begin(*replies: str | None) -> Writer:
        writer = Writer(*replies)
        monkeypatch.setattr(summarizing, "get_summarizer", lambda: ModelSummarizer(StructuredChat(writer, 5)))
        return writer

    return begin


@pytest.fixture
def chat(api: Api) -> str:
    """A conversation without messages."""
    body = {"type": "user-agent", "participants": {"userId": "ada", "memorySpaceId": "home"}, "conversationId": "chat"}
    assert api.post("/v1/conversations", body).status == 201
    return CHAT


def say(api: Api, *contents: str) -> None:
    messages = [{"role": "user", "content": content} for content in contents]
    assert api.post(f"{CHAT}/messages", {"messages": messages}).status == 201


def test_a_summary_says_what_it_covers_and_who_wrote_it(api: Api, chat: str, write: Write) -> None:
    write(summary_of("Ada plans a journey.", "travel", "travel", "Lisbon"))
    say(api, "I plan a journey.", "To Lisbon.")

    summary = api.post(f"{chat}/summarize", {}).json

    assert summary.pop("updatedAt").endswith("Z")
    assert summary == {
        "summary": "Ada plans a journey.",
        "topics": ["travel", "Lisbon"],
        "fromSeq": 1,
        "toSeq": 2,
        "model": "writer",
    }


def test_the_next_summary_is_made_of_the_one_before_and_only_the_messages_behind_it(
    api: Api, chat: str, write: Write
) -> None:
    writer = write(summary_of("Ada plans a journey."), summary_of("Ada goes to Porto."))
    say(api, "A secret plan.")
    api.post(f"{chat}/summarize", {})
    say(api, "It is Porto.")

    summary = api.post(f"{chat}/summarize", {"model": "larger"}).json

    assert (summary["fromSeq"], summary["toSeq"], summary["model"]) == (1, 2, "larger")
    assert "Ada plans a journey." in writer.prompts[1]
    assert "It is Porto." in writer.prompts[1]
    assert "A secret plan." not in writer.prompts[1]


def test_where_nothing_new_was_said_the_summary_stays_and_no_model_is_asked(api: Api, chat: str, write: Write) -> None:
    writer = write(summary_of("Short."))
    say(api, "Words.")
    summary = api.post(f"{chat}/summarize", {}).json

    assert api.post(f"{chat}/summarize", {}).json == summary
    assert len(writer.prompts) == 1


def test_a_conversation_in_which_nothing_was_said_has_no_summary(api: Api, chat: str, write: Write) -> None:
    write()

    assert api.post(f"{chat}/summarize", {}).problem[:2] == (409, "NOTHING_TO_SUMMARIZE")
    assert api.get(f"{chat}?include=summary").json["summary"] is None


@pytest.mark.parametrize("bad", ["no JSON", '{"summary": "x"}', '{"summary": " ", "topics": []}', '{"summary": 1}'])
def test_a_model_is_asked_once_more_where_its_answer_has_another_form(
    api: Api, chat: str, write: Write, bad: str
) -> None:
    write(bad, f"Here you are:\n```json\n{summary_of('Good.')}\n```")
    say(api, "Words.")

    assert api.post(f"{chat}/summarize", {}).json["summary"] == "Good."


@pytest.mark.parametrize("replies", [["no JSON", "nor now"], [None]])
def test_a_model_that_gives_no_summary_is_503_and_the_summary_before_stays(
    api: Api, chat: str, write: Write, replies: list[str | None]
) -> None:
    write(summary_of("Before."), *replies)
    say(api, "One.")
    api.post(f"{chat}/summarize", {})
    say(api, "Two.")

    assert api.post(f"{chat}/summarize", {}).problem[:2] == (503, "MODEL_UNAVAILABLE")
    assert api.get(f"{chat}?include=summary").json["summary"]["summary"] == "Before."


def test_a_silent_model_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent:
        model = "silent"

        async def stream(self, messages: list[ChatMessage], **_: Any) -> Pieces:
            import asyncio

            await asyncio.sleep(60)
            yield "late"

    with pytest.raises(ChatUnavailable):
        ModelSummarizer(StructuredChat(Silent(), 0.05)).write(None, [], model=None, within_s=1)  # type: ignore[arg-type]


def test_a_conversation_shows_its_newest_messages_and_summary_where_they_are_asked_for(
    api: Api, chat: str, write: Write
) -> None:
    write(summary_of("Many."))
    say(api, *(f"Message {number}." for number in range(1, 61)))
    summary = api.post(f"{chat}/summarize", {}).json

    conversation = api.get(f"{chat}?include=summary,messages").json

    assert conversation["summary"] == summary
    assert [message["seq"] for message in conversation["messages"]] == list(range(11, 61))
    assert not {"summary", "messages"} & api.get(chat).json.keys()


def test_an_unknown_part_is_refused(api: Api, chat: str) -> None:
    assert api.get(f"{chat}?include=summary,everything").problem == (422, "INVALID_FORMAT", "include")


def test_a_context_window_begins_with_preamble_and_summary_within_its_budget(api: Api, chat: str, write: Write) -> None:
    write(summary_of("They spoke of Lisbon."))
    say(api, "Hello.")
    api.post(f"{chat}/summarize", {})
    api.post(f"{chat}/preamble", {"content": "Be kind."})

    window = api.get(f"{chat}/context?maxTokens=500&includeSummary=true").json

    assert [message["content"] for message in window["messages"]] == ["Be kind.", "They spoke of Lisbon.", "Hello."]
    assert window["omitted"] == {"count": 0, "tooLarge": []}
    assert [each["content"] for each in api.get(f"{chat}/context?maxTokens=500").json["messages"]] == ["Hello."]
    assert api.get(f"{chat}/context?maxTokens=8&includeSummary=true").json["tokens"] <= 8


def test_the_topics_of_a_summary_are_the_first_of_the_analytics(api: Api, chat: str, write: Write) -> None:
    write(summary_of("Short.", "travel"))
    api.post(f"{chat}/messages", {"role": "user", "content": "x", "metadata": {"topics": ["food", "travel"]}})
    api.post(f"{chat}/summarize", {})

    assert api.get(f"{chat}/analytics").json["topics"] == ["travel", "food"]


def test_a_redaction_drops_the_summary_and_the_next_one_is_made_without_the_words(
    api: Api, chat: str, write: Write
) -> None:
    writer = write(summary_of("The password is xylophone."), summary_of("Anew."))
    say(api, "My password is xylophone.", "Thanks.")
    api.post(f"{chat}/summarize", {})

    api.post(f"{chat}/messages/msg-001/redact", {"reason": "a secret"})

    assert api.get(f"{chat}?include=summary").json["summary"] is None
    assert api.post(f"{chat}/summarize", {}).json["summary"] == "Anew."
    assert "xylophone" not in writer.prompts[1]


def test_what_is_redacted_while_a_model_writes_is_in_no_summary(
    api: Api, chat: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Meanwhile(OfflineSummarizer):
        def write(self, *parts: Any, **options: Any) -> WrittenSummary:
            api.post(f"{chat}/messages/msg-001/redact", {"reason": "a secret"})
            return super().write(*parts, **options)

    monkeypatch.setattr(summarizing, "get_summarizer", Meanwhile)
    say(api, "My password is xylophone.")

    assert api.post(f"{chat}/summarize", {}).problem[:2] == (409, "APPEND_CONFLICT")
    assert api.get(f"{chat}?include=summary").json["summary"] is None


def test_what_is_erased_while_a_model_writes_leaves_no_summary(
    api: Api, chat: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Meanwhile(OfflineSummarizer):
        def write(self, *parts: Any, **options: Any) -> WrittenSummary:
            assert api.delete(chat).status == 200
            return super().write(*parts, **options)

    monkeypatch.setattr(summarizing, "get_summarizer", Meanwhile)
    say(api, "My password is xylophone.")

    with pytest.raises(ConversationErased):
        summarizing.summarize(api.caller.tenant, "chat")
    assert summarizing.find_summary(conversation_pk(api.caller.tenant, "chat")) is None


def test_messages_that_come_while_a_model_writes_are_left_to_the_next_summary(
    api: Api, chat: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Meanwhile(OfflineSummarizer):
        def write(self, *parts: Any, **options: Any) -> WrittenSummary:
            say(api, "And another thing.")
            return super().write(*parts, **options)

    monkeypatch.setattr(summarizing, "get_summarizer", Meanwhile)
    say(api, "One thing.")

    assert api.post(f"{chat}/summarize", {}).json["toSeq"] == 1


def test_a_long_conversation_is_read_in_batches_each_only_once(api: Api, chat: str, write: Write) -> None:
    writer = write(summary_of("First half."), summary_of("All of it."))
    for name in ("alpha", "beta"):
        say(api, f"{name} " + "word " * 8_000)

    summary = api.post(f"{chat}/summarize", {}).json

    assert (summary["summary"], summary["fromSeq"], summary["toSeq"]) == ("All of it.", 1, 2)
    assert "First half." in writer.prompts[1]
    assert "alpha" not in writer.prompts[1]


def test_without_a_model_a_summary_is_a_choice_of_what_was_said(api: Api, chat: str, setting: Setting) -> None:
    setting("CHAT_URL", "offline")
    get_summarizer.cache_clear()
    sentences = [f"Sentence {number} speaks of Lisbon harbour." for number in range(10)]
    say(api, *sentences, "Oh.")

    summary = api.post(f"{chat}/summarize", {}).json

    get_summarizer.cache_clear()
    assert summary["model"] == "offline"
    assert summary["summary"] in " ".join(sentences)
    assert {"lisbon", "harbour"} <= set(summary["topics"])


def stream_event(api: Api, seq: int) -> dict[str, Any]:
    keys = {"pk": {"S": conversation_pk(api.caller.tenant, "chat")}, "sk": {"S": f"E#{seq:012d}"}}
    return {"Records": [{"dynamodb": {"Keys": keys, "SequenceNumber": str(seq)}}]}


def test_a_conversation_is_summarised_by_itself_every_so_many_messages(
    api: Api, chat: str, write: Write, setting: Setting
) -> None:
    setting("SUMMARIZE_EVERY", "2")
    writer = write(summary_of("Two."), summary_of("Four."))
    for number in range(1, 5):
        say(api, f"Message {number}.")
        assert function("project").handler(stream_event(api, number), None) == {"batchItemFailures": []}

    assert len(writer.prompts) == 2
    assert api.get(f"{chat}?include=summary").json["summary"]["toSeq"] == 4


def test_a_failing_model_keeps_no_head_back_and_is_asked_again_at_the_next_message(
    api: Api, chat: str, write: Write, setting: Setting
) -> None:
    setting("SUMMARIZE_EVERY", "1")
    write(None, summary_of("Both."))
    say(api, "One.")
    assert function("project").handler(stream_event(api, 1), None) == {"batchItemFailures": []}
    assert api.get("/v1/conversations?messageCount=1").json["items"][0]["messageCount"] == 1

    say(api, "Two.")
    function("project").handler(stream_event(api, 2), None)

    assert api.get(f"{chat}?include=summary").json["summary"]["toSeq"] == 2


def test_what_a_key_may_not_see_it_may_not_summarise(api: Api, chat: str, write: Write) -> None:
    write()
    assert api.limited(spaces={"work"}).post(f"{chat}/summarize", {}).problem[0] == 404
    assert api.limited(scopes={"read"}).post(f"{chat}/summarize", {}).problem[0] == 403


def test_the_stream_function_loads_no_model_and_no_summaries() -> None:
    code = "import sys; sys.path.insert(0, 'functions/project'); import app; print(*sys.modules)"
    done = subprocess.run(  # noqa: S603 - our own code in a fresh Python
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": "layers/annals"}
    )
    assert not {"annals.memory.summarizing", "annals.providers.chat", "httpx"} & set(done.stdout.split())
