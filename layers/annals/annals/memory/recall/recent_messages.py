"""The newest messages of a conversation, for a prompt: as many as fit, no exchange torn, for one user or for all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from annals.answers import Room
from annals.conversations.genesis import Genesis
from annals.errors import ParticipantMismatch
from annals.ledger.entry import Tail
from annals.ledger.exchanges import MessageGroup, walk_groups
from annals.ledger.history import read_preamble
from annals.ledger.keys import conversation_pk
from annals.memory.live_questions import find_live_questions
from annals.memory.memories.owners import owners_of
from annals.memory.recall.windows import Budget, ToolCalls, Window, fit_newest, without_finished_calls
from annals.search.documents import NOBODY, user_owner

MAX_READ = 100
"""How many of the newest messages of a conversation without a user are read to find those of one user."""


def recent_messages(
    genesis: Genesis,
    tail: Tail,
    budget: Budget,
    *,
    for_user: str | None = None,
    before: int | None = None,
    tool_calls: ToolCalls = "all",
) -> Window:
    """The newest messages that fit a budget, after the preamble where there is room for it.

    For a user those are the user's own and nobody's; then there is no preamble, which stands for all that was said.
    A question that a stream is answering just now is left out.

    Raises ParticipantMismatch where the conversation is another user's.
    """
    pk = conversation_pk(genesis.tenant, genesis.conversation_id)
    is_shared = for_user is not None and genesis.user_id is None
    if for_user is not None and genesis.user_id not in (None, for_user):
        raise ParticipantMismatch(genesis.conversation_id, "userId")
    page_size = MAX_READ if is_shared else budget.messages or MAX_READ
    groups = walk_groups(pk, tail, before=before, page_size=page_size)
    if for_user is not None and is_shared:
        groups = _visible_to(genesis, groups, for_user)
    if tool_calls == "unfinished":
        groups = without_finished_calls(groups)
    in_answer = find_live_questions(genesis.tenant, genesis.conversation_id)
    window = fit_newest(groups, budget, Room(), in_answer=in_answer, show_hidden=True)
    if window.is_all and not is_shared:
        _add_preamble(window, pk, tail, budget)
    return window


def _visible_to(genesis: Genesis, groups: Iterable[MessageGroup], user_id: str) -> Iterator[MessageGroup]:
    """Those of the newest groups in which all messages are a user's own, or nobody's."""
    newest = list(_first(groups, MAX_READ))
    by_seq = owners_of(genesis, {message["seq"] for group in newest for message in group.messages})
    visible = {user_owner(user_id), NOBODY}
    for group in newest:
        if all(by_seq.get(message["seq"]) in visible for message in group.messages):
            yield group


def _first(groups: Iterable[MessageGroup], messages: int) -> Iterator[MessageGroup]:
    """The first groups, until they have so many messages."""
    for group in groups:
        yield group
        messages -= len(group.messages)
        if messages <= 0:
            return


def _add_preamble(window: Window, pk: str, tail: Tail, budget: Budget) -> None:
    preamble = read_preamble(pk, tail)
    if preamble is None or (budget.messages is not None and len(window.messages) >= budget.messages):
        return
    size = budget.weigh([preamble])
    if window.size + size <= budget.size:
        window.messages.insert(0, preamble)
        window.size += size
