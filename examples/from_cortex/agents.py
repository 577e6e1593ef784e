"""Agents among themselves, threads, and what stands before and behind a conversation.

ANNALS_URL=http://127.0.0.1:8000 ANNALS_KEY=local python examples/from_cortex/agents.py
"""

from __future__ import annotations

import re
from uuid import uuid4

from annals_client import Annals


def redacted(text: str) -> str:
    """A text without the numbers of cards, before anything is stored."""
    return re.sub(r"\b\d{4}[ -]?\d{4}[ -]?\d{4}[ -]?\d{4}\b", "[card]", text)


def main() -> None:
    name = uuid4().hex[:8]
    finance, planner, space = f"finance-{name}", f"planner-{name}", f"space-{name}"
    with Annals() as annals:
        # a2a.send: two agents share one conversation, whoever writes first
        asked = annals.a2a.send("What is the budget?", from_=planner, to=finance, memory_space_id=space, thread_id="q3")
        annals.a2a.send(
            "Nine thousand.", from_=finance, to=planner, memory_space_id=space, metadata={"priority": "high"}
        )
        between = asked.conversation_id
        print([(message.from_ == planner, message.content) for message in annals.messages.list(between)])

        # getThread
        print("thread:", [message.content for message in annals.messages.list(between, thread_id="q3")])

        # Personal data, before it is stored; PII_REDACTION=patterns does so on the server
        chat = annals.conversations.create(user_id=f"ada-{name}", memory_space_id=space).conversation_id
        annals.messages.append(chat, role="user", content=redacted("My card is 4111 1111 1111 1111."))
        print(annals.messages.latest(chat, 1)[0].content)

        # prependMessage, archiveMessages
        annals.conversations.preamble(chat, "Ada writes from Turin.", metadata={"source": "profile"})
        annals.messages.append(chat, role="assistant", content="Thank you.")
        annals.conversations.archive(chat, before=2)
        print("in use:", [message.content for message in annals.messages.list(chat)])
        print("all:", [message.content for message in annals.messages.list(chat, include_archived=True)])

        # Metrics
        figures = annals.conversations.analytics(chat)
        print("said:", figures.by_role)

        # The chain of the ledger
        print("valid:", annals.conversations.verify(chat).valid)


if __name__ == "__main__":
    main()
