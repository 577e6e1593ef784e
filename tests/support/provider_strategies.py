"""What hypothesis makes up: messages as providers and frameworks make them, with all that they may leave out."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.support.strategies import json_objects, json_values, texts

Strategy = st.SearchStrategy[dict[str, Any]]

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


def _object(optional: dict[str, Any] | None = None, **required: Any) -> Strategy:
    """An object with these fields; what is no strategy stands for itself."""
    fields = {name: _strategy(value) for name, value in required.items()}
    return st.fixed_dictionaries(fields, optional={name: _strategy(value) for name, value in (optional or {}).items()})


def _strategy(value: Any) -> Any:
    return value if isinstance(value, st.SearchStrategy) else st.just(value)


def _parts(*kinds: Strategy) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.one_of(*kinds), max_size=4)


_text_part = _object(type="text", text=texts)
_call = _object(id=names, type="function", function=_object(name=names, arguments=texts))
_openai_parts = _parts(
    _text_part,
    _object(type="image_url", image_url=_object(url=texts, optional={"detail": "low"})),
    _object(type="file", file=_object(optional={"filename": texts, "file_data": texts})),
    _object(type="refusal", refusal=texts),
)

openai_chat = _object(
    {"name": st.none() | names, "refusal": st.none() | texts, "reasoning_content": texts, "annotations": st.just([])}
    | {"content": st.none() | texts | _openai_parts, "function_call": st.none(), "audio": st.none() | json_objects},
    role="assistant",
    tool_calls=st.none() | st.lists(_call, max_size=2),
) | _object(
    {"name": names},
    role=st.sampled_from(["user", "system", "developer", "assistant"]),
    content=texts.filter(bool) | _openai_parts,
) | _object({"name": names}, role="tool", tool_call_id=names, content=texts | _openai_parts)  # fmt: skip

openai_items = (
    _object({"id": names, "status": "completed"}, type="function_call", call_id=names, name=names, arguments=texts)
    | _object({"id": names, "status": "incomplete"}, type="function_call_output", call_id=names,
              output=texts | _parts(_object(type="input_text", text=texts)))
    | _object({"encrypted_content": st.none() | texts}, type="reasoning", id=names,
              summary=_parts(_object(type="summary_text", text=texts)))
    | _object(type="web_search_call", id=names, status="completed", action=json_objects)
    | _object({"phase": "final"}, type="message", id=names, role="assistant",
              status=st.sampled_from(["completed", "incomplete"]),
              content=_parts(_object(type="output_text", text=texts, annotations=st.lists(json_objects, max_size=1))))
)  # fmt: skip

anthropic = _object(
    {"id": names, "type": "message", "stop_reason": st.none() | names, "usage": json_objects, "model": names},
    role=st.sampled_from(["user", "assistant"]),
    stop_sequence=st.none() | texts,
    content=texts.filter(bool)
    | _parts(
        _text_part,
        _object({"citations": st.none()}, type="text", text=texts),
        _object(type="tool_use", id=names, name=names, input=json_objects),
        _object({"is_error": st.booleans()}, type="tool_result", tool_use_id=names, content=texts | _parts(_text_part)),
        _object(type="thinking", thinking=texts, signature=texts),
        _object({"title": texts}, type="document", source=_object(type="base64", media_type=texts, data=texts)),
    ),
)

bedrock = _object(
    role=st.sampled_from(["user", "assistant"]),
    content=_parts(
        _object(text=texts),
        _object(toolUse=_object(toolUseId=names, name=names, input=json_values)),
        _object(
            toolResult=_object(
                {"status": "error"}, toolUseId=names, content=_parts(_object(text=texts), _object(json=json_values))
            )
        ),
        _object(document=_object(name=names, format="pdf", source=_object(bytes=texts))),
        _object(reasoningContent=_object(reasoningText=_object(text=texts, signature=texts))),
    ),
)

gemini = _object(
    role=st.sampled_from(["user", "model"]),
    parts=_parts(
        _object({"thought": True, "thoughtSignature": texts}, text=texts),
        _object(functionCall=_object({"id": names}, name=names, args=json_objects)),
        _object(functionResponse=_object({"id": names}, name=names, response=json_objects)),
        _object(inlineData=_object({"displayName": texts}, mimeType=texts, data=texts)),
    ),
)

ai_sdk = _object(
    {"metadata": json_values},
    id=texts,
    role=st.sampled_from(["user", "assistant", "system"]),
    parts=_parts(
        _object({"state": "done"}, type="text", text=texts),
        _object(type="reasoning", text=texts),
        _object({"input": json_values, "output": json_values}, type="tool-weather", toolCallId=names,
                state=st.sampled_from(["input-available", "output-available"])),
        _object({"filename": texts}, type="file", mediaType=texts, url=texts),
        _object(type="data-note", data=json_values),
    ),
)  # fmt: skip

langchain = (
    _object({"name": st.none() | names, "id": st.none() | names}, type=st.sampled_from(["human", "system"]),
            content=texts | st.lists(texts | _text_part, max_size=3), additional_kwargs=json_objects)
    | _object({"usage_metadata": st.none() | json_objects}, type="ai", content=texts, additional_kwargs=json_objects,
              tool_calls=st.lists(_object(name=names, args=json_objects, id=names, type="tool_call"), max_size=2))
    | _object(type="tool", content=texts, tool_call_id=names, status=st.sampled_from(["success", "error"]))
    | st.builds(lambda kind, data: {"type": kind, "data": {"type": kind, **data}}, st.sampled_from(["human", "ai"]),
                _object({"name": st.none() | names}, content=texts))
)  # fmt: skip

mistral = _object(
    {"tool_calls": st.none() | st.lists(_call, max_size=1)},
    role="assistant",
    prefix=st.booleans(),
    content=st.none()
    | texts
    | _parts(_text_part, _object(type="thinking", thinking=_parts(_text_part)), _object(type="reference")),
)

PROVIDERS: dict[str, Strategy] = {
    "openai chat": openai_chat,
    "openai items": openai_items,
    "anthropic": anthropic,
    "bedrock": bedrock,
    "gemini": gemini,
    "ai sdk": ai_sdk,
    "langchain": langchain,
    "mistral": mistral,
}
"""The messages of each provider."""

_WORDS = (
    "role type content parts name id text tool_calls tool_call_id function_call refusal audio data kwargs from to "
    "status functionCall functionResponse function_response toolUse toolResult toolInvocations toolInvocation state "
    "output result results source document file json call_id args input arguments messageId seq metadata "
    "originalRole title"
).split()
_KINDS = (
    "user assistant ai human tool function system message text tool_use tool_result tool-call tool-result tool-x "
    "function_call function_call_output reasoning thinking constructor document chat output-available mcp_call error"
).split()

anything: Strategy = st.dictionaries(
    st.sampled_from(_WORDS),
    st.recursive(
        st.none() | st.booleans() | st.integers() | texts | st.sampled_from(_KINDS),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(_WORDS), inner, max_size=4)
            | st.builds(
                lambda kind, part: {**part, "type": kind},
                st.sampled_from(_KINDS),
                st.dictionaries(st.sampled_from(_WORDS), inner, max_size=4),
            )
        ),
        max_leaves=10,
    ),
    max_size=6,
)
"""Objects that have the words of providers' messages in any order and any place."""
