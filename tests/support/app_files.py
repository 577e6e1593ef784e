"""Conversations as other apps export them, small and made up: one of each app, in the shape of its files."""

from __future__ import annotations

from typing import Any


def chatgpt(name: str = "trip", title: str = "A trip to Turku") -> dict[str, Any]:
    """A tree: a hidden root, an edited question, a retry, thoughts, a call of a tool and what it answered, an image."""

    def node(node_id: str, parent: str | None, message: dict[str, Any] | None = None) -> dict[str, Any]:
        children = [each for each, above in parents.items() if above == node_id]
        return {"id": node_id, "parent": parent, "children": children, "message": message}

    def said(node_id: str, role: str, content: dict[str, Any], at: float | None, **more: Any) -> dict[str, Any]:
        author = {"role": role, "name": more.pop("name", None), "metadata": {}}
        own = {"id": node_id, "author": author, "create_time": at, "update_time": None, "content": content}
        return {**own, "status": "finished_successfully", "weight": 1.0, "recipient": "all", "metadata": {}, **more}

    def text(*parts: Any) -> dict[str, Any]:
        return {"content_type": "text", "parts": list(parts)}

    parents = {
        "root": None, "system": "root", "context": "system", "ask-1": "context", "answer-1": "ask-1",
        "ask-2": "context", "thoughts": "ask-2", "call": "thoughts", "result": "call", "answer-2": "result",
        "retry": "result",
    }  # fmt: skip
    hidden = {"is_visually_hidden_from_conversation": True}
    image = {
        "content_type": "image_asset_pointer", "asset_pointer": "file-service://file-123", "width": 640, "height": 480,
        "size_bytes": 1234, "fovea": None, "metadata": None,
    }  # fmt: skip
    profile = {"content_type": "user_editable_context", "user_profile": "I live in Turku", "user_instructions": ""}
    thoughts = {"content_type": "thoughts", "thoughts": [{"summary": "Weather", "content": "I should look it up."}]}
    code = {"content_type": "code", "language": "unknown", "text": '{"city":"Turku"}'}
    output = {"content_type": "execution_output", "text": "4 °C, rain"}
    attached = {"attachments": [{"id": "file-9", "name": "tickets.pdf", "size": 99, "mime_type": "application/pdf"}]}
    messages = {
        "system": said("system", "system", text(""), None, metadata=hidden),
        "context": said("context", "user", profile, None, metadata=hidden),
        "ask-1": said("ask-1", "user", text("Weather in Turko?"), 1717225201.25),
        "answer-1": said("answer-1", "assistant", text("I know no such place."), 1717225202.0),
        "ask-2": said("ask-2", "user", text("Weather in Turku?"), 1717225203.5, metadata=attached),
        "thoughts": said("thoughts", "assistant", thoughts, 1717225204.0),
        "call": said("call", "assistant", code, 1717225205.0, recipient="weather.get"),
        "result": said("result", "tool", output, 1717225206.0, name="weather.get"),
        "answer-2": said(
            "answer-2", "assistant", {"content_type": "multimodal_text", "parts": ["Rain at 4 °C \U0001f327", image]},
            1717225207.125, metadata={"model_slug": "gpt-4o"},
        ),
        "retry": said("retry", "assistant", text("It rains."), None),
    }  # fmt: skip
    mapping = {node_id: node(node_id, parent, messages.get(node_id)) for node_id, parent in parents.items()}
    return {
        "title": title, "create_time": 1717225200.123456, "update_time": 1717225207.5, "mapping": mapping,
        "moderation_results": [], "current_node": "answer-2", "plugin_ids": None, "conversation_id": name, "id": name,
        "conversation_template_id": None, "gizmo_id": "g-abc", "is_archived": True, "default_model_slug": "gpt-4o",
    }  # fmt: skip


def claude(name: str = "cooking", title: str = "Cooking") -> dict[str, Any]:
    """A conversation with an attachment, a file, thinking, a tool's call and its result."""
    times = [f"2024-05-01T10:00:0{second}.123456+00:00" for second in range(4)]
    call = {"type": "tool_use", "id": "toolu_1", "name": "search", "input": {"query": "soup"}, "message": "Searching"}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "Borscht"}]}
    question = {
        "uuid": "m-1", "text": "What can I cook?", "sender": "human", "created_at": times[0], "updated_at": times[0],
        "content": [{"type": "text", "text": "What can I cook?", "start_timestamp": times[0], "citations": []}],
        "attachments": [{"file_name": "fridge.txt", "file_size": 8, "extracted_content": "Beetroot"}],
        "files": [{"file_name": "photo.png"}],
    }  # fmt: skip
    answer = {
        "uuid": "m-2", "text": "Borscht!", "sender": "assistant", "created_at": times[1], "updated_at": times[1],
        "content": [
            {"type": "thinking", "thinking": "Beetroot makes soup."}, call, result,
            {"type": "text", "text": "Borscht!"},
        ],
        "attachments": [], "files": [],
    }  # fmt: skip
    thanks = {"uuid": "m-3", "text": "Thanks", "content": [], "sender": "human", "created_at": times[2]}
    nothing = {"uuid": "m-4", "text": "", "content": [], "sender": "assistant", "created_at": times[3]}
    return {
        "uuid": name, "name": title, "created_at": times[0], "updated_at": times[3], "account": {"uuid": "a"},
        "chat_messages": [question, answer, thanks, nothing],
    }  # fmt: skip


def librechat(*, recursive: bool = False) -> dict[str, Any]:
    """A conversation with two branches, flat or as a tree."""

    def said(message_id: str, parent: str, second: int, *, user: bool = False, **more: Any) -> dict[str, Any]:
        at = f"2024-04-09T14:32:0{second}.230Z"
        own = {"messageId": message_id, "parentMessageId": parent, "isCreatedByUser": user, "createdAt": at}
        return {**own, "sender": "User" if user else "Bot", "error": False, "unfinished": False, **more}

    call = {"id": "call_1", "name": "lookup", "args": '{"q":"vans"}', "output": "8.2 l"}
    content = [{"type": "think", "think": "Vans."}, {"type": "tool_call", "tool_call": call}]
    content.append({"type": "text", "text": {"value": "It takes 8.2 l."}})
    none = "00000000-0000-0000-0000-000000000000"
    messages = [
        said("one", none, 1, user=True, text="How thirsty is a van?", files=[{"file_id": "f1", "filename": "van.jpg"}]),
        said("two", "one", 2, text="No idea."),
        said("three", "one", 3, text="", content=content, model="gpt-4o"),
        said("four", "three", 4, user=True, text="And a bus?"),
        said("five", "four", 5, text="A lot", unfinished=True),
    ]
    own = {"conversationId": "lc-1", "endpoint": "openAI", "title": "Thirst", "exportAt": "16:33:32 GMT+0200"}
    if not recursive:
        return {**own, "branches": True, "recursive": False, "options": {"model": "gpt-4o"}, "messages": messages}
    by_parent: dict[str, list[dict[str, Any]]] = {}
    for message in messages:
        by_parent.setdefault(message["parentMessageId"], []).append(message)
    for message in messages:
        message["children"] = by_parent.get(message["messageId"], [])
    return {**own, "branches": True, "recursive": True, "messagesTree": by_parent[none]}


def open_webui() -> dict[str, Any]:
    """A chat with a tree of messages, thinking and a tool's call within the text, and an image."""
    reasoning = (
        '<details type="reasoning" done="true" duration="3">\n<summary>Thought</summary>\n&gt; Fifteen.\n</details>\n'
    )
    called = (
        '<details type="tool_calls" done="true" id="call_1" name="multiply" '
        'arguments="&quot;{\\&quot;a\\&quot;:15}&quot;" '
        'result="&quot;255&quot;">\n<summary>Tool Executed</summary>\n</details>\n'
    )
    messages = {
        "a": {"id": "a", "parentId": None, "childrenIds": ["b", "c"], "role": "user", "content": "15 * 17?",
              "timestamp": 1700000000, "files": [{"type": "image", "url": "data:image/png;base64,AAAA"}]},
        "b": {"id": "b", "parentId": "a", "childrenIds": [], "role": "assistant", "content": "253",
              "timestamp": 1700000005, "model": "llama3"},
        "c": {"id": "c", "parentId": "a", "childrenIds": [], "role": "assistant",
              "content": f"{reasoning}{called}255", "timestamp": 1700000010, "model": "deepseek-r1", "done": True},
    }  # fmt: skip
    chat = {
        "title": "Sums",
        "models": ["deepseek-r1"],
        "tags": ["maths"],
        "history": {"currentId": "c", "messages": messages},
    }
    return {
        "id": "owu-1",
        "user_id": "u",
        "title": "Sums",
        "chat": chat,
        "created_at": 1700000000,
        "updated_at": 1700000011,
    }


def lobechat() -> dict[str, Any]:
    """All data of an app: two topics, one of them with a tool's call."""
    messages = [
        {"id": "m3", "role": "assistant", "content": "", "sessionId": "s1", "topicId": "t1",
         "createdAt": 1700000002000,
         "tools": [{"id": "call_1", "apiName": "search", "identifier": "web", "arguments": '{"q":"cats"}'}]},
        {"id": "m1", "role": "user", "content": "Cats?", "sessionId": "s1", "topicId": "t1",
         "createdAt": 1700000001000},
        {"id": "m4", "role": "tool", "content": "A cat is an animal.", "sessionId": "s1", "topicId": "t1",
         "createdAt": 1700000003000, "tool_call_id": "call_1", "plugin": {"apiName": "search"}},
        {"id": "m5", "role": "assistant", "content": "Animals.", "sessionId": "s1", "topicId": "t1",
         "createdAt": 1700000004000, "extra": {"fromModel": "gpt-4o"}, "reasoning": {"content": "Easy."}},
        {"id": "m6", "role": "user", "content": "Hello inbox", "createdAt": 1700000005000},
    ]  # fmt: skip
    topics = [{"id": "t1", "title": "About cats", "sessionId": "s1"}]
    sessions = [{"id": "s1", "meta": {"title": "Animals"}}]
    return {"exportType": "all", "version": 7, "state": {"messages": messages, "topics": topics, "sessions": sessions}}


def cortex(name: str = "conv-1700000000000-abc") -> dict[str, Any]:
    """A conversation of a user and an agent."""
    return {
        "conversationId": name, "type": "user-agent", "participants": {"userId": "ada", "agentId": "bot"},
        "messages": [
            {"id": "msg-1", "role": "user", "content": "The codeword is kumquat", "timestamp": 1700000000123},
            {"id": "msg-2", "role": "agent", "content": "Noted", "timestamp": 1700000001123, "participantId": "bot",
             "metadata": {"tokens": 3}},
        ],
        "messageCount": 2, "createdAt": 1700000000000, "updatedAt": 1700000001123, "metadata": {"title": "Codewords"},
    }  # fmt: skip


def cortex_agents() -> dict[str, Any]:
    """A conversation between two agents."""
    return {
        "conversationId": "a2a-1", "type": "agent-agent", "participants": {"agent1": "planner", "agent2": "doer"},
        "messages": [
            {"id": "m-1", "from": "planner", "to": "doer", "text": "Do it", "timestamp": 1700000000000},
            {"id": "m-2", "from": "doer", "to": "planner", "text": "Done", "timestamp": "2023-11-14T22:13:21.000Z"},
        ],
        "createdAt": 1700000000000,
    }  # fmt: skip


SHAREGPT = {
    "id": "identity_0",
    "conversations": [
        {"from": "system", "value": "Be kind."},
        {"from": "human", "value": "Who are you?"},
        {"from": "gpt", "value": "A model."},
    ],
}
"""A line of a file for training."""

LANGCHAIN = [
    {"type": "human", "data": {"content": "Weather?", "additional_kwargs": {}, "type": "human", "id": "1"}},
    {"type": "ai", "data": {"content": "Rain.", "additional_kwargs": {}, "response_metadata": {}, "type": "ai"}},
]
"""What ``messages_to_dict`` gives."""

LANGCHAIN_DUMPS = [
    {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", "HumanMessage"],
     "kwargs": {"content": "Weather?", "type": "human"}},
    {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", "AIMessage"],
     "kwargs": {"content": [{"type": "text", "text": "Rain."}], "type": "ai"}},
]  # fmt: skip
"""What ``dumpd`` gives."""
