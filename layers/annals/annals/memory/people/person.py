"""What there is of a person: where it is found, and all of it as JSON lines.

The conversations of which they are the user come from the participants' list, their own memories from the tables, and
what they said or is known of them elsewhere from the search index. The list and the index are eventually consistent:
what was stored in the last moments may be missing.
"""

from __future__ import annotations

from collections.abc import Iterator

from annals.access.caller import Caller
from annals.conversations.filters import from_json
from annals.conversations.formats import FORMATS
from annals.conversations.lists import Selection
from annals.conversations.read import demand_tail
from annals.conversations.snapshot import snapshots
from annals.errors import ConversationErased, ConversationNotFound
from annals.json_text import dump
from annals.ledger.keys import conversation_pk
from annals.ledger.messages import read_messages
from annals.memory import ports
from annals.memory.items import split_raw_id, split_user_memory_id
from annals.memory.people.memories import show_user_memory, walk_user_memories
from annals.memory.shown import show_document
from annals.search.documents import Document
from annals.search.port import Filters, Scope

PAGE = 200
"""How many documents one round trip to the index brings."""

Place = tuple[int, str]
"""Where a walk through the index is: the time and the id of the last document."""


def conversations_of(caller: Caller, user_id: str) -> Selection:
    """The conversations of which a person is the user, as far as the caller may see them."""
    return Selection(caller.tenant, caller.spaces, from_json({"participants": {"userId": user_id}}))


def documents_of(caller: Caller, user_id: str, after: Place | None = None) -> Iterator[Document]:
    """What the search index holds of a person, archived and superseded too. Raises SearchUnavailable."""
    scope = Scope(tenant=caller.tenant, spaces=caller.spaces, filters=Filters(user_id=user_id, status=None))
    while page := ports.index().page(scope, limit=PAGE, after=after):
        yield from page
        after = (page[-1].at, page[-1].memory_id)


def export_person(caller: Caller, user_id: str) -> Iterator[str]:
    """The lines of a file of all that there is of a person. What fails at once is raised by the first of them."""
    elsewhere = documents_of(caller, user_id)
    first = next(elsewhere, None)
    yield _line("person", {"userId": user_id})
    own: set[str] = set()
    for found in snapshots(conversations_of(caller, user_id)):
        own.add(found.head.genesis.conversation_id)
        yield from FORMATS["jsonl"].write(found)
    for memory in walk_user_memories(caller, user_id):
        yield _line("userMemory", {**show_user_memory(memory)})
    for document in [first] if first else []:
        yield from _lines_of(caller, document, own)
    for document in elsewhere:
        yield from _lines_of(caller, document, own)


def _lines_of(caller: Caller, document: Document, own: set[str]) -> Iterator[str]:
    """The line of a document, unless what it stands for has its line already."""
    if split_user_memory_id(document.memory_id):
        return
    raw = split_raw_id(document.memory_id)
    if raw is None:
        yield _line("memory", {**show_document(document)})
    elif raw[0] not in own:
        yield from _message_line(caller, raw[0], document.message_ids)


def _message_line(caller: Caller, conversation_id: str, message_ids: tuple[str, ...]) -> Iterator[str]:
    """The line of a message, as the ledger holds it now."""
    try:
        tail = demand_tail(caller.tenant, conversation_id)
    except (ConversationErased, ConversationNotFound):
        return
    for message in read_messages(conversation_pk(caller.tenant, conversation_id), message_ids, tail.archived):
        yield _line("message", {"conversationId": conversation_id, **message})


def _line(kind: str, values: dict[str, object]) -> str:
    return dump({"type": kind, **values}) + "\n"
