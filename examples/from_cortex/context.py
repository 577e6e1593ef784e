"""Context for a prompt: what was said last, what is relevant, and as much as fits a budget.

ANNALS_URL=http://127.0.0.1:8000 ANNALS_KEY=local python examples/from_cortex/context.py
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from annals_client import Annals
from annals_client.models import Conversation


def recent_context(annals: Annals, conversation_id: str) -> str:
    """The last ten messages as lines."""
    messages = annals.messages.latest(conversation_id, 10)
    return "\n".join(f"{message.role}: {message.content}" for message in messages)


def relevant_context(annals: Annals, space: str, user: str, question: str) -> list[str]:
    """The words behind the memories that answer a question. No embedding is needed: the server embeds."""
    words: list[str] = []
    for hit in annals.memory.search(question, memory_space_id=space, user_id=user, limit=3, min_score=0.3):
        if ref := hit.conversation_ref:
            found = annals.messages.get_many(ref.conversation_id, ref.message_ids)
            words += [str(message.content) for message in found]
    return words


def resumed(annals: Annals, space: str, user: str) -> Conversation:
    """The user's conversation of the last day, or a new one."""
    since = datetime.now(UTC) - timedelta(days=1)
    recent = annals.conversations.list(
        user_id=user, memory_space_id=space, last_message_after=since, sort_by="lastMessageAt", limit=1
    )
    return next(iter(recent), None) or annals.conversations.create(user_id=user, memory_space_id=space)


def main() -> None:
    user, space = f"user-{uuid4().hex[:8]}", f"space-{uuid4().hex[:8]}"
    with Annals() as annals:
        chat = resumed(annals, space, user).conversation_id
        for question, reply in (("I am allergic to peanuts.", "Noted."), ("I live in Turin.", "A fine city.")):
            annals.memory.remember(
                memory_space_id=space, conversation_id=chat, user_id=user, user_message=question, agent_response=reply
            )
        print(recent_context(annals, chat))
        found = annals.memory.search("allergic", memory_space_id=space, conversation_id=chat, consistent=True)
        print("relevant:", found[0].content, relevant_context(annals, space, user, "allergic to peanuts")[:1])

        # buildContextWindow: one call, whose tokens the server counts
        window = annals.conversations.context(chat, 1000)
        print(f"window: {window.included} of {window.total} messages, {window.tokens} tokens")

        # The same as text for a prompt, with facts and memories of the user's other conversations
        recalled = annals.memory.recall("What am I allergic to?", memory_space_id=space, user_id=user, max_tokens=500)
        print("recalled:", recalled.context.splitlines()[:1])


if __name__ == "__main__":
    main()
