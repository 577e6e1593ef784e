"""A conversation of Vision Agents that is kept by Annals."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from typing_extensions import Self

from annals_client.client import Annals, AsyncAnnals
from annals_client.errors import AnnalsError, Conflict
from annals_client.integrations.support import Clients, Session, Sessions, framework
from annals_client.integrations.vision_agents.stored import fields_of, message_of
from annals_client.integrations.vision_agents.writer import Said, Writer
from annals_client.models import DraftMessage
from annals_client.models import Message as LedgerMessage

with framework("vision-agents"):
    from vision_agents.core.agents.conversation import Conversation, Message, MessageState

HISTORY = 100
DRAFT_INTERVAL_S = 0.25
MAX_DRAFT_CHARS = 60_000
"""A longer text is shown when it is complete."""
MAX_TEXT_BYTES = 300_000
"""A longer text is stored beside its message."""
BEGINNING_CHARS = 16_000
"""How much of it is in the message itself, where it can be found by."""


class NotStored(AnnalsError):
    """Messages could not be stored. They are not lost: waiting again tries again.

    ``messages`` are those; code and detail are those of the first one.
    """

    def __init__(self, said: list[Said]) -> None:
        failures = [each.failure for each in said if each.failure is not None]
        super().__init__(failures[0].problem)
        self.messages = [each.message for each in said]

    def __str__(self) -> str:
        return f"{len(self.messages)} messages are not stored: {super().__str__()}"


class AnnalsConversation(Conversation):
    """The conversation of a call: what is said is a message of the ledger once it is complete, and a draft before.

    No method but ``load``, ``wait_for_pending_syncs`` and ``close`` waits for the network: what is new is collected,
    and written by a task beside. A message that fails to be stored is logged as an error, and tried again.

    A message whose speaker begins another one, because somebody interrupted, is stored as incomplete; should it go on
    all the same, the whole message takes its place.

    Parameters
    ----------
    instructions : the agent's; they are not stored
    messages : what was said earlier, and is stored already or is not to be; see ``load``
    session_id : the call's id: the same one goes on with the same conversation
    client : an Annals or AsyncAnnals, shared by all calls of a process; else ``url`` and ``key``
    user_id, memory_space_id : whose call it is, and where; the same session id of two users is two conversations
    agent_id : the agent's user id
    draft_interval_s : how long what is new is collected before it is shown to those who follow, in seconds; None for
        no drafts
    """

    def __init__(
        self,
        instructions: str,
        messages: list[Message] | None = None,
        *,
        session_id: str,
        client: Annals | AsyncAnnals | Clients | None = None,
        url: str | None = None,
        key: str | None = None,
        user_id: str | None = None,
        memory_space_id: str | None = None,
        agent_id: str | None = None,
        draft_interval_s: float | None = DRAFT_INTERVAL_S,
    ) -> None:
        super().__init__(instructions, messages or [])
        clients = client if isinstance(client, Clients) else Clients(client, url=url, key=key)
        session = Session(session_id, user_id=user_id, memory_space_id=memory_space_id, agent_id=agent_id)
        self._place = Place(Sessions(clients), session)
        self._writer = Writer(self._place, draft_interval_s)

    @classmethod
    async def load(cls, instructions: str, *, history: int | None = HISTORY, **options: Any) -> Self:
        """The conversation of a call, with what was said in it earlier: the newest ``history`` messages, or all.

        ``options`` are the constructor's. Raises AnnalsError.
        """
        conversation = cls(instructions, **options)
        if history != 0:
            conversation.messages += await conversation._place.read(history)
        return conversation

    async def _sync_to_backend(self, message: Message, state: MessageState, completed: bool) -> None:
        self._writer.note(message, is_whole=completed)

    async def wait_for_pending_syncs(self) -> None:
        """Wait until all that is new is written: whole messages stored, others shown as drafts.

        Raises
        ------
        NotStored : it failed; the messages are kept, and tried again the next time
        """
        await self._drain(ends=False)

    async def close(self) -> None:
        """Store all; what is not whole, since the call ends, as incomplete messages. Raises NotStored."""
        await self._drain(ends=True)

    async def _drain(self, *, ends: bool) -> None:
        left = await self._writer.drain(ends=ends)
        if left:
            raise NotStored(left)

    def add_message(self, message: Message, completed: bool = True) -> Message:
        """Add a message, as Vision Agents' conversations did before 0.1.7; it does not wait for anything."""
        self.messages.append(message)
        if not completed:
            self._message_states[str(message.id)] = MessageState(str(message.id))
        self._writer.note(message, is_whole=completed)
        return message

    def update_message(
        self, message_id: str, input_text: str, user_id: str, replace_content: bool = False, completed: bool = False
    ) -> Message:
        """Add to a message, or replace its text, or begin one, as conversations did before 0.1.7.

        Raises
        ------
        ValueError : the message is complete: the ledger keeps it as it is
        """
        message = self._find_message(message_id)
        if message is None:
            role = "assistant" if user_id == self._place.session.agent_id else "user"
            return self.add_message(Message(input_text, role=role, user_id=user_id, id=message_id), completed)
        if message_id not in self._message_states:
            raise ValueError(f"The message {message_id!r} is complete, and stays as it is")
        message.content = input_text if replace_content else message.content + input_text
        self._writer.note(message, is_whole=completed)
        if completed:
            del self._message_states[message_id]
        return message


@dataclass(frozen=True)
class Place:
    """Where a call's messages are stored."""

    sessions: Sessions
    session: Session

    async def read(self, limit: int | None) -> list[Message]:
        """The newest messages, ``limit`` at most, in the order in which they began; those still being said, too."""

        async def read(annals: AsyncAnnals, talk: str) -> list[LedgerMessage | DraftMessage]:
            newest, drafts = await asyncio.gather(_newest(annals, talk, limit), annals.messages.drafts(talk))
            whole = [await annals.messages.restore(talk, each) if each.content_part else each for each in newest]
            return [*whole, *drafts]

        found = await self.sessions.afind(self.session, read) or []
        messages = [message for stored in found if (message := message_of(stored)) is not None]
        return sorted(messages, key=lambda message: message.timestamp)  # type: ignore[arg-type,return-value]

    async def draft(self, said: Said) -> None:
        """Show what was said so far, to those who follow it."""
        text = said.message.content
        if text == (said.drafted or "") or len(text) > MAX_DRAFT_CHARS:
            return  # nothing is new, or too much
        is_longer = said.drafted is not None and text.startswith(said.drafted)
        new = text[len(said.drafted or "") :] if is_longer else text
        await self._upsert(said, content=new, replace=not is_longer, on_expiry="keep", **_undrafted(said.message))
        said.drafted = text

    async def commit(self, said: Said) -> None:
        """Store the message; one that was cut off before its first word is none."""
        message = said.message
        if said.is_cut_off and not message.content:
            return
        status = {"status": "incomplete"} if said.is_cut_off else {}
        whole = {**await self._text(message.content), **fields_of(message), **status}
        if not said.revision:
            try:
                await self.sessions.ause(
                    self.session,
                    lambda annals, talk: annals.messages.append(talk, external_id=message.id, **whole),
                )
                return
            except Conflict as conflict:
                if conflict.code != "EXTERNAL_ID_TAKEN":
                    raise  # else the beginning of it is stored, as incomplete
        await self._upsert(said, completed=True, replace=True, **whole)

    async def _text(self, text: str) -> dict[str, Any]:
        """The fields that hold a text; one that no entry has room for is uploaded, and begins in the message."""
        content = text.encode("utf-8", "surrogatepass")
        if len(content) <= MAX_TEXT_BYTES:
            return {"content": text}
        messages = self.sessions.clients.asynchronous.messages
        part = await messages.upload(BytesIO(content), media_type="text/plain", encoding="text")
        return {"content": text[:BEGINNING_CHARS], "content_part": part}

    async def _upsert(self, said: Said, **fields: Any) -> None:
        said.revision = max(said.revision + 1, int(time.time() * 1000))  # larger than those of any earlier process
        await self.sessions.ause(
            self.session,
            lambda annals, talk: annals.messages.upsert(talk, str(said.message.id), revision=said.revision, **fields),
        )


async def _newest(annals: AsyncAnnals, conversation_id: str, limit: int | None) -> list[LedgerMessage]:
    if limit is not None:
        return await annals.messages.latest(conversation_id, limit)
    return [message async for message in annals.messages.list(conversation_id, page_size=1000)]


def _undrafted(message: Message) -> dict[str, Any]:
    """The fields of a draft: to a message with parts, no text could be added."""
    return {name: value for name, value in fields_of(message).items() if name != "parts"}
