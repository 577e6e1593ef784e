"""Messages as providers, their SDKs and frameworks make them."""

from __future__ import annotations

from typing import Any

TOOL_CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}

PROVIDER_MESSAGES: dict[str, dict[str, Any]] = {
    "text": {"role": "user", "content": "hello", "name": "Ada"},
    "empty assistant": {"role": "assistant", "content": ""},
    "null assistant": {"role": "assistant", "content": None},
    "bare assistant": {"role": "assistant"},
    "parts": {"role": "user", "content": [{"type": "text", "text": "zebra"}, {"type": "text", "text": "quokka"}]},
    "no parts": {"role": "assistant", "content": []},
    "calls, null": {"role": "assistant", "content": None, "tool_calls": [TOOL_CALL]},
    "calls, empty": {"role": "assistant", "content": "", "tool_calls": [TOOL_CALL]},
    "calls, missing": {"role": "assistant", "tool_calls": [TOOL_CALL]},
    "calls and text": {"role": "assistant", "content": "Let me look.", "tool_calls": [TOOL_CALL]},
    "calls and parts": {"role": "assistant", "content": [{"type": "text", "text": "hm"}], "tool_calls": [TOOL_CALL]},
    "result": {"role": "tool", "tool_call_id": "call_1", "content": "12 degrees"},
    "empty result": {"role": "tool", "tool_call_id": "call_1", "content": ""},
    "legacy call": {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
    "legacy result": {"role": "function", "name": "f", "content": "12"},
    "refusal": {"role": "assistant", "content": None, "refusal": "I can't say."},
    "refusal alone": {"role": "assistant", "refusal": "I can't say."},
    "refusal twice": {"role": "assistant", "content": "I can't say.", "refusal": "I can't say."},
    "dumped by the SDK": {
        "role": "assistant", "content": "hi", "refusal": None, "annotations": [], "audio": None,
        "function_call": None, "tool_calls": None,
    },
    "reasoning": {"role": "assistant", "content": "4", "reasoning_content": "2 + 2", "unheard_of": [1]},
    "no name": {"role": "user", "content": "x", "name": None, "additional_kwargs": {}},
    "developer": {"role": "developer", "content": "Be kind."},
    "responses message": {
        "type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
        "content": [{"type": "output_text", "text": "hi", "annotations": []}],
    },
    "responses call": {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "status": "completed"},
    "responses result": {"type": "function_call_output", "call_id": "c", "output": "12", "status": "incomplete"},
    "responses reasoning": {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]},
    "anthropic": {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
        "content": [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "hi"}],
        "usage": {"input_tokens": 1},
    },
    "bedrock": {"role": "assistant", "content": [{"text": "hi"}, {"toolUse": {"toolUseId": "t", "name": "f"}}]},
    "langchain": {"type": "human", "content": "hi", "additional_kwargs": {}, "name": None, "id": "1"},
    "langchain envelope": {"type": "ai", "data": {"type": "ai", "content": "hi", "tool_calls": []}},
    "langchain tool": {"type": "tool", "content": "no", "tool_call_id": "c", "status": "error", "artifact": None},
    "langchain chat": {"type": "chat", "role": "human", "content": "hi", "additional_kwargs": {}},
    "mistral": {"role": "assistant", "content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                                                 {"type": "text", "text": "hi"}], "prefix": False, "tool_calls": None},
}  # fmt: skip
