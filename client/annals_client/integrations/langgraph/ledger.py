"""The messages of a graph as messages of its thread's conversation, so that search and recall find them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import BaseMessage

from annals_client.calls import Steps
from annals_client.errors import Conflict
from annals_client.integrations.langchain.messages import append_messages, external_id_of, to_ledger

MAX_MESSAGES = 50
"""How many messages with ids of their own one append takes."""


def new_messages(value: Any, known: frozenset[str]) -> list[BaseMessage]:
    """The messages of a channel that are not known by their ids. Those without an id are no part of a conversation."""
    given = value if isinstance(value, list) else []
    return [each for each in given if isinstance(each, BaseMessage) and each.id not in known and external_id_of(each)]


def remember_messages(conversation_id: str, messages: Sequence[BaseMessage], run_id: str | None) -> Steps[None]:
    """Append messages, each once, however often this is repeated.

    One that is stored already and says something else meanwhile stays what it was: the ledger keeps what was said.
    """
    more = {"run_id": run_id} if run_id else {}
    ready = [{**to_ledger(message), "external_id": external_id_of(message)} for message in messages]
    for at in range(0, len(ready), MAX_MESSAGES):
        batch = ready[at : at + MAX_MESSAGES]
        try:
            yield from append_messages(conversation_id, batch, more)
        except Conflict as conflict:
            if conflict.code != "EXTERNAL_ID_TAKEN":
                raise
            for each in batch:
                yield from _append_once(conversation_id, each, more)


def _append_once(conversation_id: str, message: dict[str, Any], more: dict[str, str]) -> Steps[None]:
    try:
        yield from append_messages(conversation_id, [message], more)
    except Conflict as conflict:
        if conflict.code != "EXTERNAL_ID_TAKEN":
            raise
