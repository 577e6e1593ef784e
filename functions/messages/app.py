"""Read a conversation's messages, and verify its chain."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Literal, cast

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Query

from annals.answers import Room, fitting
from annals.api.fields import ExternalId, PathId, PathMessageId
from annals.api.query import read_flag
from annals.conversations.heads import Head, find_stored_head
from annals.conversations.message_models import DraftMessage, GetMessages, History, MessageList, Verified
from annals.conversations.query_params.history import (
    HISTORY_PARAMS,
    POSITION_PARAMS,
    HistoryBounds,
    next_cursor,
    read_range,
)
from annals.conversations.read import open_conversation, require_conversation_access
from annals.errors import ConversationNotFound, DamagedEntry, DamagedItem, MessageNotFound
from annals.http.app import Api, respond
from annals.ledger.exchanges import split_torn
from annals.ledger.history import MessageRange, read_page
from annals.ledger.keys import MAX_SEQ, conversation_pk
from annals.ledger.message_reads import find_by_external_id, read_messages, walk_messages
from annals.ledger.messages import Message, seq_of
from annals.ledger.part_watch import PartWatch
from annals.ledger.read import walk_checked
from annals.ledger.rewound import Rewound
from annals.ledger.runs import last_runs
from annals.ledger.tail import read_tail
from annals.ledger.verify import verify

PARTS_BUDGET_S = 15.0
"""For how many seconds a verification checks parts."""

app = Api()
handler = app.handler


@app.get("/v1/conversations/<conversation_id>/messages", tags=["Messages"])
def list_messages(
    conversation_id: PathId,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: Annotated[str | None, Query()] = None,
    order: Annotated[Literal["asc", "desc"] | None, Query()] = None,
    offset: Annotated[int | None, Query(ge=0, le=MAX_SEQ)] = None,
    after: Annotated[int | None, Query(ge=0, le=MAX_SEQ)] = None,
    before: Annotated[int | None, Query(ge=0, le=MAX_SEQ)] = None,
    last_runs_count: Annotated[int | None, Query(alias="lastRuns", ge=1, le=100)] = None,
    external_id: Annotated[ExternalId | None, Query(alias="externalId")] = None,
) -> Response[History]:
    """The newest messages in chronological order, unless ``order`` says otherwise.

    Archived messages are left out, and rewound ones, unless ``includeArchived`` or ``includeRewound`` is true.
    Where an answer has no room for all of the ``lastRuns``, the oldest are left out, and ``omitted`` is true. Runs are
    shown without calls of tools that have no result, and without results that have no call: ``unpaired`` names them.
    With an ``externalId``, it is the message that has this one, archived or not, or none. With ``drafts=true``, what is
    still being said comes after the newest message, beyond the ``limit``; where there is no room for its text, that is
    left out.
    """
    caller = app.caller.require_scope("read")
    app.require_known_query(*HISTORY_PARAMS)
    conversation = open_conversation(caller, conversation_id)
    cursors = app.cursors("messages", conversation_id, page_params=POSITION_PARAMS)
    bounds, message_range = read_range(HistoryBounds(order, offset, after, before), cursor, cursors, app.query_params)
    pk, tail = conversation.pk, conversation.tail
    rewound = Rewound.at(pk, tail)
    total = tail.count - (0 if message_range.rewound else rewound.count())
    if external_id is not None:
        found = find_by_external_id(pk, external_id, tail, with_rewound=message_range.rewound)
        items = [found] if found and message_range.includes(found) else []
        drafts = _drafts(pk, message_range, external_id)
        return respond({"items": [*items, *drafts], "total": total}, etag=tail.seq)
    if last_runs_count is not None:
        runs, is_all = last_runs(
            pk, tail, last_runs_count, archived=message_range.archived, rewound=message_range.rewound
        )
        whole, unpaired = split_torn(runs)
        items = [message for message in whole if message_range.matches is None or message_range.matches(message)]
        left_out = {**({} if is_all else {"omitted": True}), **({"unpaired": unpaired} if unpaired else {})}
        return respond({"items": [*items, *_drafts(pk, message_range)], **left_out, "total": total}, etag=tail.seq)
    page = read_page(pk, tail, message_range, limit, rewound=rewound)
    more = next_cursor(page, bounds, message_range, cursors)
    newest = _drafts(pk, message_range) if message_range.reaches_newest(page) else []
    items = [*newest[::-1], *page.messages] if message_range.newest_first else [*page.messages, *newest]
    return respond({"items": items, **more, "total": total}, etag=tail.seq)


DRAFTS_SHARE = 0.2
"""How much of an answer's room drafts may take beside the messages; the text of others is left out."""


def _drafts(pk: str, message_range: MessageRange, external_id: str | None = None) -> list[DraftMessage]:
    """The drafts that a history shows, the oldest first; none unless the request wants them."""
    if not read_flag(app.query_params, "drafts"):
        return []
    from annals.memory.message_drafts.listing import list_open_drafts

    return list_open_drafts(pk, message_range, Room(DRAFTS_SHARE), external_id)


@app.get("/v1/conversations/<conversation_id>/messages/<message_id>", tags=["Messages"])
def get_message(
    conversation_id: PathId,
    message_id: PathMessageId,
    parts: Annotated[Literal["inline", "references"], Query()] = "references",
) -> Message:
    """One message; with ``parts=inline``, what is stored beside it is in its place, as far as the answer has room."""
    caller = app.caller.require_scope("read")
    app.require_known_query("parts")
    conversation = open_conversation(caller, conversation_id)
    messages = read_messages(conversation.pk, [message_id], conversation.tail)
    if not messages:
        raise MessageNotFound(message_id)
    if parts == "references":
        return messages[0]
    from annals.ledger.part_reading import with_inline_parts  # no other answer needs what reads parts

    return cast("Message", with_inline_parts(conversation.pk, {**messages[0]}))


@app.post("/v1/conversations/<conversation_id>/messages/get-many", tags=["Messages"])
def get_messages(conversation_id: PathId, body: GetMessages) -> MessageList:
    """Many messages by their ids, in stored order; ids of no message are left out.

    Where the answer has no room for all of them, ``omitted`` names the ids to request again.
    """
    caller = app.caller.require_scope("read")
    conversation = open_conversation(caller, conversation_id)
    room = Room()
    items = fitting(walk_messages(conversation.pk, body.message_ids, conversation.tail), room)
    if not room.is_full:
        return {"items": items}
    return {"items": items, "omitted": [each for each in body.message_ids if (seq_of(each) or 0) > items[-1]["seq"]]}


@app.get("/v1/conversations/<conversation_id>/verify", tags=["Messages"])
def verify_conversation(conversation_id: PathId, parts: Annotated[bool, Query()] = False) -> Verified:
    """Read the conversation's whole chain and say whether it is what was appended.

    With ``parts=true`` also the parts that are stored beside it, as many as there is time for.
    """
    caller = app.caller.require_scope("read")
    app.require_known_query("parts")
    require_conversation_access(caller, conversation_id)
    pk = conversation_pk(caller.tenant, conversation_id)
    head, settled = _read_expected(pk)
    watch = PartWatch()
    entries = watch.pass_on(walk_checked(pk)) if parts else walk_checked(pk)
    result = verify(entries, pk, head.checkpoint if head else None, settled=settled)
    if not result.entries and head is None:
        raise ConversationNotFound(conversation_id)
    verified = Verified(
        valid=result.valid,
        messageCount=result.message_count,
        entries=result.entries,
        headHash=result.head_hash.hex(),
    )
    if not result.valid:
        return {**verified, "firstBadSeq": result.first_bad_seq or 0, "reason": result.reason or ""}
    return _verify_parts(verified, watch) if parts else verified


def _verify_parts(verified: Verified, watch: PartWatch) -> Verified:
    """The result with that of the parts, of a chain that holds."""
    from annals.ledger.part_reading import check_parts  # no other answer needs what reads parts

    check = check_parts(watch.parts, PARTS_BUDGET_S)
    verified["parts"] = {"checked": check.checked, "unchecked": check.unchecked}
    if check.bad is None:
        return verified
    reason = f"its part {check.bad.reference.sha256} is missing, or is not what was appended"
    return {**verified, "valid": False, "firstBadSeq": check.bad.seq, "reason": reason}


def _read_expected(pk: str) -> tuple[Head | None, int | None]:
    """What is known of a chain before it is read: its head, and the seq at which it ends; None where damaged."""
    head: Head | None = None
    with suppress(DamagedItem):
        head = find_stored_head(pk)
    try:
        tail = read_tail(pk)
    except DamagedEntry:
        return head, None
    return head, tail.seq if tail else None
