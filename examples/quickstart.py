"""Remember a turn, read it, search it, and verify that nothing was changed.

ANNALS_URL=http://127.0.0.1:8000 ANNALS_KEY=local python examples/quickstart.py
"""

from __future__ import annotations

from annals_client import Annals


def main() -> None:
    with Annals() as annals:
        remembered = annals.memory.remember(
            memory_space_id="demo",
            user_id="ada",
            user_message="I am allergic to peanuts, and I fly to Lisbon on 3 May.",
            agent_response="Noted: no peanuts, and Lisbon on 3 May.",
        )
        conversation_id = remembered.conversation.conversation_id

        for message in annals.messages.list(conversation_id):
            print(f"{message.seq}. {message.role}: {message.content}")

        hits = annals.memory.search("Is she allergic to anything?", conversation_id=conversation_id, consistent=True)
        for hit in hits[:1]:
            print(f"found in {hit.conversation_ref.message_ids if hit.conversation_ref else '?'}: {hit.snippet}")

        verified = annals.conversations.verify(conversation_id)
        print(f"the chain is {'whole' if verified.valid else 'broken'}: {verified.entries} entries")


if __name__ == "__main__":
    main()
