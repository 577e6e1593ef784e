"""Conversations as Cortex has them: made, appended to, read, listed, searched, counted, changed, exported, deleted.

ANNALS_URL=http://127.0.0.1:8000 ANNALS_KEY=local python examples/from_cortex/conversations.py
"""

from __future__ import annotations

import io
import time
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from annals_client import Annals


def main() -> None:
    user, space = f"user-{uuid4().hex[:8]}", f"space-{uuid4().hex[:8]}"
    yesterday = datetime.now(UTC) - timedelta(days=1)
    with Annals() as annals:
        # conversations.create, with participants and metadata
        metadata = {"channel": "web", "plan": {"name": "pro"}}
        made = annals.conversations.create(user_id=user, agent_id="support", memory_space_id=space, metadata=metadata)
        chat = made.conversation_id

        # conversations.addMessage
        stored = annals.messages.append(chat, role="user", content="How much is the pro plan?", timestamp=yesterday)
        print("stored:", stored.messages[0].message_id)
        annals.messages.append(chat, role="agent", content="It is 20 a month.", participant_id="support")

        # conversations.getHistory: the last ten in the order they were said, or page by page, the newest first
        print("history:", [message.content for message in annals.messages.latest(chat, 10)])
        print("newest first:", [message.content for message in annals.messages.list(chat, order="desc", limit=1)])

        # conversations.get
        print("messages:", annals.conversations.get(chat).message_count)

        # conversations.list, count, search and export take the same filters; what was just stored is there in a moment
        time.sleep(0.5)
        mine = annals.conversations.list(user_id=user, metadata=metadata, sort_by="lastMessageAt", sort_order="desc")
        print("listed:", [each.conversation_id == chat for each in mine])
        print("counted:", annals.conversations.count(user_id=user, metadata=metadata))
        hits = annals.conversations.search("price of the plan", user_id=user, metadata=metadata)
        print("found:", [hit.matches[0].snippet for hit in hits])
        file = io.BytesIO()
        annals.conversations.export_many(file, format="json", user_id=user, metadata=metadata)
        print("exported:", "It is 20 a month." in file.getvalue().decode())

        # conversations.update: merged with the metadata there are
        print("changed:", annals.conversations.update(chat, {"satisfaction": 5}).metadata)

        # conversations.deleteMany: erased, with a receipt of what went
        print("deleted:", annals.conversations.delete_many(user_id=user).count)


if __name__ == "__main__":
    main()
