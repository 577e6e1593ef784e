"""A conversation with one of everything that can be in one."""

from __future__ import annotations

from typing import Any

from tests.support.api import Api

SPACE = {"userId": "ada", "memorySpaceId": "space-1"}
HARD = 'commas, "quotes",\r\nlines, \u2028 and \0 and 👩‍👩‍👧 مرحبا'
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Lisbon"}'}}

MESSAGES: list[dict[str, Any]] = [
    {"role": "user", "content": HARD, "name": "Ada", "timestamp": "2025-01-01T00:00:00.000Z"},
    {"role": "assistant", "content": "", "parts": [CALL], "runId": "r-1", "metadata": {"tokens": 3, "cost": 1.0}},
    {"role": "tool", "content": "22 °C", "parts": {"tool_call_id": "call_1"}, "runId": "r-1", "threadId": "t-1"},
    {"role": "assistant", "content": "=1+1", "parts": [{"odd": [None, 1.5, {}]}], "participantId": "p-1"},
    {"role": "system", "content": "secret", "metadata": {"_x": None}},
    {"role": "user", "content": "bye"},
]


def talk(api: Api, conversation_id: str = "talk", *, rich: bool = True) -> str:
    """A conversation of these messages; a rich one has a preamble, an archive mark, a redaction and a seal, too."""
    body = {
        "type": "user-agent",
        "participants": SPACE,
        "conversationId": conversation_id,
        "metadata": {"topic": "weather", "n": 1.0},
    }
    assert api.post("/v1/conversations", body).status == 201
    path = f"/v1/conversations/{conversation_id}"
    for message in MESSAGES:
        assert api.post(f"{path}/messages", message).status == 201
    if rich:
        assert api.post(f"{path}/preamble", {"content": "Ada asks.", "metadata": {"by": "hand"}}).status == 201
        assert api.post(f"{path}/archive", {"before": 3}).status == 200
        assert api.post(f"{path}/messages/msg-005/redact", {"reason": "asked for"}).status == 200
        assert api.post(f"{path}/seal").status == 200
    return path
