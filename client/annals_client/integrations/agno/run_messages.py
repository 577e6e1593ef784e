"""The messages of runs in the ledger: appended once, and read back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from annals_client import parts as parts_module
from annals_client.calls import Steps
from annals_client.errors import Conflict
from annals_client.integrations.agno.known_messages import KnownMessages
from annals_client.integrations.agno.message_mapping import SplitMessage, from_ledger, is_whole, to_ledger
from annals_client.listing import collect_items
from annals_client.models import Message
from annals_client.resources.messages import Messages

Json = dict[str, Any]

AT_ONCE = 90
"""How many messages with external ids one request may append."""

REQUEST_CHARS = 3_000_000
"""How long one request's messages may be as JSON."""

UPLOADED_CHARS = 400_000
"""From which length on a text is uploaded before the message that holds it."""


class RunMessages:
    """The messages of a memory space's runs."""

    def __init__(self, known: KnownMessages) -> None:
        self._known = known

    def store(
        self, conversation_id: str, run_id: str, messages: Sequence[Json], user_id: str | None
    ) -> Steps[list[Json]]:
        """Append those messages of a run that the ledger doesn't have; what the run keeps of each, in their order."""
        split = [SplitMessage.of(message) for message in messages]
        try:
            yield from self._append(conversation_id, run_id, split, user_id)
        except Conflict as refusal:
            if refusal.code != "EXTERNAL_ID_TAKEN":
                raise
            yield from self._learn(conversation_id, split)
            yield from self._append(conversation_id, run_id, split, user_id)
        return [self._kept(conversation_id, message) for message in split]

    def read(
        self, conversation_id: str, references: Sequence[Json], listed: Mapping[str, Message]
    ) -> Steps[list[Json | None]]:
        """The messages of a run by their references; None for one that was redacted. Some may be ``listed`` already."""
        missing = [each["id"] for each in references if "id" in each and each["id"] not in listed]
        found = {**listed}
        if missing:
            fetched: list[Message] = yield from Messages.get_many.steps(None, conversation_id, missing)
            found |= {message.message_id: message for message in fetched}
        messages: list[Json | None] = []
        for reference in references:
            if "inline" in reference:
                messages.append(reference["inline"])
                continue
            message = found.get(reference["id"])
            whole = (yield from _whole(conversation_id, message)) if message and is_whole(message) else None
            messages.append(from_ledger(whole, reference.get("set")) if whole else None)
        kept = zip(references, messages, strict=True)
        read = [(reference["id"], SplitMessage.of(each)) for reference, each in kept if "id" in reference and each]
        self._known.add(conversation_id, read)
        return messages

    def list_all(self, conversation_id: str) -> Steps[dict[str, Message]]:
        """All messages of a conversation, by their ids."""
        messages = yield from collect_items(Messages.list.walk(conversation_id, page_size=1000))
        return {message.message_id: message for message in messages}

    def _append(
        self, conversation_id: str, run_id: str, messages: Sequence[SplitMessage], user_id: str | None
    ) -> Steps[None]:
        by_id = {message.own_id: message for message in reversed(messages) if self._is_new(conversation_id, message)}
        new = [message for message in messages if by_id.get(message.own_id) is message]
        bodies = []
        for message in new:
            body = to_ledger((yield from _uploaded(message.said)))
            body |= {"run_id": run_id, "external_id": self._external_id(conversation_id, run_id, message)}
            bodies.append(body | ({"user_id": user_id} if user_id and body["role"] == "user" else {}))
        for begin, end in _requests(bodies):
            stored = yield Messages.append_many.call(conversation_id, bodies[begin:end])
            ids = [message.message_id for message in stored.messages]
            self._known.add(conversation_id, zip(ids, new[begin:end], strict=True))

    def _is_new(self, conversation_id: str, message: SplitMessage) -> bool:
        """Whether the ledger is to have a message. What history repeats, as far as it is not known, the run keeps."""
        known = self._known.find(conversation_id, message)
        is_said_here = message.own_id is not None and not message.in_run.get("from_history")
        return is_said_here and (known is None or known.digest != message.digest)

    def _external_id(self, conversation_id: str, run_id: str, message: SplitMessage) -> str:
        """Agno's id; of one that says something else now than when it was stored, one of the new words' own."""
        changed = self._known.find(conversation_id, message) is not None
        return f"{message.own_id}~{message.digest[:16]}~{run_id}"[:256] if changed else str(message.own_id)

    def _learn(self, conversation_id: str, messages: Sequence[SplitMessage]) -> Steps[None]:
        """Find out which of some messages the ledger has, from other processes, or with other words."""
        for message in messages:
            if not self._is_new(conversation_id, message) or self._known.find(conversation_id, message):
                continue
            stored = yield from Messages.find.steps(None, conversation_id, str(message.own_id))
            if stored is None:
                continue
            whole = yield from _whole(conversation_id, stored)
            said = SplitMessage.of(from_ledger(whole, None)) if is_whole(whole) else message  # which was redacted
            self._known.add(conversation_id, [(stored.message_id, said)])

    def _kept(self, conversation_id: str, message: SplitMessage) -> Json:
        known = self._known.find(conversation_id, message)
        if known is None or known.digest != message.digest:
            return {"inline": {**message.said, **message.in_run}}
        return message.reference(known.message_id)


def _whole(conversation_id: str, message: Message) -> Steps[Message]:
    """A message with the parts that are stored beside it."""
    if not parts_module.has_parts(message):
        return message
    return (yield from Messages.restore.steps(None, conversation_id, message))


def _uploaded(value: Any) -> Steps[Any]:
    """A value with its longest texts uploaded, and what stands for them in their places."""
    if isinstance(value, str) and len(value) > UPLOADED_CHARS:
        return (yield from Messages.upload.steps(None, value.encode(), media_type="text/plain", encoding="text"))
    if isinstance(value, dict):
        uploaded = {}
        for name, each in value.items():
            uploaded[name] = yield from _uploaded(each)
        return uploaded
    if isinstance(value, list):
        items = []
        for each in value:
            items.append((yield from _uploaded(each)))
        return items
    return value


def _requests(bodies: Sequence[Json]) -> Iterator[tuple[int, int]]:
    """Which messages go into one request: from where to where."""
    begin, chars = 0, 0
    for end, body in enumerate(bodies):
        size = len(json.dumps(body))
        if end > begin and (end - begin == AT_ONCE or chars + size > REQUEST_CHARS):
            yield begin, end
            begin, chars = end, 0
        chars += size
    if bodies:
        yield begin, len(bodies)
