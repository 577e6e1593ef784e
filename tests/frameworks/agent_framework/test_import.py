"""Sessions of the framework that were written down are imported, and go on."""

from __future__ import annotations

import json
from pathlib import Path

from agent_framework import Agent, AgentSession, Content, FileHistoryProvider, tool
from asking import ScriptedModel, conversations_of, dialogue, dicts, texts

from annals_client.integrations.agent_framework import AnnalsHistoryProvider
from annals_client.testing import Annals, AsyncAnnals


@tool(approval_mode="never_require")
def weather(city: str) -> str:
    """The weather in a city."""
    return f"Snow in {city}."


async def test_a_session_in_memory_goes_on_in_annals(annals: Annals, async_annals: AsyncAnnals, tmp_path: Path) -> None:
    call = Content.from_function_call("c-1", "weather", arguments='{"city": "Oslo"}')
    before = Agent(client=ScriptedModel(call, "Take a coat."), tools=[weather])
    session = before.create_session(session_id="chat/7")
    await before.run("Oslo?", session=session)
    file = tmp_path / "session.json"
    file.write_text(json.dumps(session.to_dict()))
    for _ in range(2):
        annals.conversations.import_(file, memory_space_id="agent-framework", user_id="ada")

    history = AnnalsHistoryProvider(client=async_annals, user_id="ada")
    assert dicts(await history.get_messages("chat/7")) == dicts(session.state["in_memory"]["messages"])
    model = ScriptedModel("Yes.")
    await Agent(client=model, context_providers=[history]).run("Sure?", session=AgentSession(session_id="chat/7"))
    assert [message.role for message in model.asked[0]] == ["user", "assistant", "tool", "assistant", "user"]


async def test_a_history_file_is_imported_as_a_conversation(annals: Annals, tmp_path: Path) -> None:
    await FileHistoryProvider(tmp_path).save_messages("s-1", dialogue("Hello.", "Hi."))
    annals.conversations.import_(tmp_path / "s-1.jsonl", memory_space_id="agent-framework", user_id="ada")
    (conversation,) = conversations_of(annals)
    stored = annals.messages.list(conversation.conversation_id)
    assert [message.content for message in stored] == texts(dialogue("Hello.", "Hi."))
