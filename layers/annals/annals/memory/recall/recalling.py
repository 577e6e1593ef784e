"""Recalling: what the memories hold of a question as text for a prompt, within a budget of tokens.

The text is laid out so; a part without lines is left out, and lines are in the order in which they were said::

    What is known:
    - [2025-06-15] Ada lives in Paris.

    What is remembered from earlier, oldest first:
    - [2025-06-14] user (Ada): I have found a flat in Paris.

What was said stands on its one line, whatever it holds; see ``annals.quoting``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from annals.access.caller import Caller
from annals.answers import Room, fitting, fitting_counted
from annals.conversations.genesis import get_genesis
from annals.conversations.read import open_conversation
from annals.ledger.messages import Message
from annals.memory import adapters
from annals.memory.memories.models import Memory
from annals.memory.memories.owners import list_recent_messages
from annals.memory.recall.memory_search import search_memories
from annals.memory.recall.models import Hit, Recall, Recollection, Search
from annals.memory.streaming.prompt import Section, context_text
from annals.providers.caching_embedder import CachingEmbedder
from annals.quoting import FACTS_HEADING, MEMORIES_HEADING, speaker_name, to_one_line
from annals.tokens import BYTES_PER_TOKEN, estimate

FACTS = 20
"""How many facts are recalled at most."""

CONTEXT_SHARE = 0.5
"""How much of an answer's room the text for a prompt may take; it is made of the best memories first."""

BESIDE_FACTS = ("raw", "summarized", "custom")
"""What a memory can be that takes no fact's place among the hits."""

M = TypeVar("M", bound=Memory)


def recall(caller: Caller, asked: Recall) -> Recollection:
    """What answers a question: facts, other memories, and what was said last in a conversation.

    For a user that is what belongs to the user, or to nobody.

    Raises
    ------
    InvalidInput : it is to be recalled for a user, and none is named
    ConversationNotFound, ConversationErased, ParticipantMismatch : the conversation whose recent messages are asked for
    and what ``search_memories`` raises
    """
    for_user = asked.for_user()
    history = _history(caller, asked, for_user)
    found, known = _search(caller, asked, for_user)
    found = [hit for hit in found if "fact" not in hit]
    facts = [hit for hit in known if "fact" in hit]
    others = [hit for hit in known if "fact" not in hit and asked.filter.content_type is None]
    hits = sorted([*found, *others], key=lambda hit: -hit["score"])[: asked.limit]
    shown = {message["messageId"] for message in history}
    fresh = [hit for hit in hits if not is_in_messages(hit, asked.history_conversation_id, shown)]
    fitting_alone = [hit for hit in (*facts, *fresh) if estimate(_line(hit)) <= asked.max_tokens]
    _, context = fit_to_budget(fitting(fitting_alone, Room(CONTEXT_SHARE), of=_line), asked.max_tokens)
    whole: dict[str, list[Any]]
    whole = {"items": hits, "facts": [hit["fact"] for hit in facts], "history": history[::-1]}
    parts, omitted = _bounded(whole, context)
    return {
        "items": parts["items"],
        "facts": parts["facts"],
        "history": parts["history"][::-1],
        "context": context,
        "tokens": estimate(context),
        **({"omitted": omitted} if omitted else {}),  # type: ignore[typeddict-item]
    }


def _bounded(parts: Mapping[str, Sequence[Any]], context: str) -> tuple[dict[str, list[Any]], dict[str, int]]:
    """The first of each part, as far as an answer has room for them beside a text, and how many others there are."""
    room = Room()
    room.takes(context)
    shown: dict[str, list[Any]] = {}
    omitted: dict[str, int] = {}
    for name, found in parts.items():
        room.is_full = False
        shown[name], left_out = fitting_counted(found, room)
        if left_out:
            omitted[name] = left_out["omitted"]
    return shown, omitted


def _search(caller: Caller, asked: Recall, for_user: str | None) -> tuple[list[Hit], list[Hit]]:
    """The memories that are no facts, and the facts.

    The index is asked for each on its own: among the best of all, many messages of a subject would leave no place to
    the one fact of it. Both questions go at the same time, and are embedded once.
    """
    embedder = CachingEmbedder(adapters.embedder())
    with ThreadPoolExecutor(1) as beside:
        known = beside.submit(search_memories, caller, _for_facts(asked), embedder=embedder, for_user=for_user)
        return search_memories(caller, asked, BESIDE_FACTS, embedder, for_user), known.result()


def fit_to_budget(memories: Sequence[M], max_tokens: int) -> tuple[list[M], str]:
    """The memories whose lines fit a budget, and those lines as a text that never takes more.

    Facts come first, then the others, each in the order given; one that does not fit is passed over.
    """
    left = max_tokens * BYTES_PER_TOKEN
    chosen: list[M] = []
    headings: set[str] = set()
    for memory in sorted(memories, key=lambda memory: _heading(memory) != FACTS_HEADING):
        heading = _heading(memory)
        begun = "" if heading in headings else heading + ("\n\n" if headings else "")
        taken = len(f"{begun}\n- {_line(memory)}".encode())
        if taken <= left:
            left -= taken
            headings.add(heading)
            chosen.append(memory)
    return chosen, _text(chosen)


def is_in_messages(memory: Memory, conversation_id: str | None, message_ids: set[str]) -> bool:
    """Whether a memory says what some messages of a conversation say anyway."""
    ref = memory.get("conversationRef")
    return (
        ref is not None and ref["conversationId"] == conversation_id and not message_ids.isdisjoint(ref["messageIds"])
    )


def _for_facts(question: Search) -> Search:
    wanted = question.filter.model_copy(update={"content_type": "fact"})
    change = {"filter": wanted, "limit": FACTS, "consistent": False}
    return question.model_copy(update=change)


def _history(caller: Caller, asked: Recall, for_user: str | None) -> list[Message]:
    """The newest messages of the conversation that is named, oldest first."""
    conversation_id = asked.history_conversation_id
    if conversation_id is None or not asked.history:
        return []
    tail = open_conversation(caller, conversation_id).tail
    return list_recent_messages(get_genesis(caller.tenant, conversation_id), tail, asked.history, for_user=for_user)


def _text(memories: Sequence[Memory]) -> str:
    ordered = sorted(memories, key=lambda memory: memory["createdAt"])
    lines = {
        heading: [_line(memory) for memory in ordered if _heading(memory) == heading]
        for heading in (FACTS_HEADING, MEMORIES_HEADING)
    }
    return context_text([Section(heading, found) for heading, found in lines.items()])


def _heading(memory: Memory) -> str:
    return FACTS_HEADING if memory["contentType"] == "fact" else MEMORIES_HEADING


def _line(memory: Memory) -> str:
    """A memory's line: when it was said, and, but for facts, who said it."""
    said = to_one_line(memory["content"])
    if _heading(memory) != FACTS_HEADING:
        who, name = memory.get("role") or "memory", speaker_name(memory)
        said = f"{who} ({name}): {said}" if name else f"{who}: {said}"
    return f"[{memory['createdAt'][:10]}] {said}"
