"""Mark a conversation: with a preamble, an archive mark, a rewind, a seal."""

from __future__ import annotations

from aws_lambda_powertools.event_handler import Response

from annals.api.fields import PathId
from annals.conversations.models import AddPreamble, Archive, Conversation, RewindConversation, Rewound
from annals.conversations.presenters import present_conversation
from annals.conversations.read import get_head, open_conversation, require_conversation_access
from annals.conversations.redaction_version import first_rewind_put
from annals.http.app import Api, respond
from annals.ledger.exchanges import last_seq_outside_exchanges
from annals.ledger.keys import conversation_pk
from annals.ledger.marks import add_preamble, archive, last_seq_before, seal
from annals.ledger.messages import Message, present_message
from annals.ledger.rewind import rewind
from annals.ledger.tail import find_last_message

app = Api()
handler = app.handler


@app.post("/v1/conversations/<conversation_id>/preamble", status_code=201, tags=["Conversations"])
def post_preamble(conversation_id: PathId, body: AddPreamble) -> Response[Message]:
    """Put a text before the first message, replacing an earlier one. It is not counted."""
    caller = app.caller.require_scope("write")
    require_conversation_access(caller, conversation_id)
    request = app.idempotent_request("preamble")
    stored = add_preamble(caller.tenant, conversation_id, body.content, body.metadata, request)
    return respond(present_message(stored.entry.records[0], stored.entry), 201, replayed=stored.replayed)


@app.post("/v1/conversations/<conversation_id>/archive", tags=["Conversations"])
def post_archive(conversation_id: PathId, body: Archive) -> Response[Conversation]:
    """Archive the messages before a seq or a time: histories leave them out unless a request includes them.

    The calls of tools stay with their results: where these are not all before that point, it is before the calls.
    """
    caller = app.caller.require_scope("write")
    conversation = open_conversation(caller, conversation_id)
    pk, tail, point = conversation.pk, conversation.tail, body.before
    up_to = point.seq - 1 if point.seq is not None else last_seq_before(pk, tail, point.at)
    newest = find_last_message(pk, tail)
    if newest and min(up_to, newest.seq) > tail.archived:
        untorn = last_seq_outside_exchanges(pk, tail, min(up_to, newest.seq))
        if untorn > tail.archived:
            archive(caller.tenant, conversation_id, untorn, caller.key_id)
    return _respond_with_head(caller.tenant, conversation_id)


@app.post("/v1/conversations/<conversation_id>/rewind", tags=["Conversations"])
def post_rewind(conversation_id: PathId, body: RewindConversation) -> Response[Rewound]:
    """Take back the messages after a seq or a message, or the newest ones: readers get them no more.

    The ledger keeps them, and histories show them where a request includes them.
    """
    caller = app.caller.require_scope("write")
    require_conversation_access(caller, conversation_id)
    done = rewind(
        caller.tenant,
        conversation_id,
        body.to_target(),
        caller.key_id,
        expected_seq=app.if_match(),
        request=app.idempotent_request("rewind"),
        with_first=[first_rewind_put(conversation_pk(caller.tenant, conversation_id))],
    )
    rewound: Rewound = {
        "conversationId": conversation_id,
        "removed": [*done.removed],
        **({} if done.is_all else {"omitted": True}),  # type: ignore[typeddict-item]
        "seq": done.at.seq,
        "total": done.total,
        "messageCount": done.at.count,
        "headHash": done.at.hash.hex(),
    }
    return respond(rewound, etag=done.at.seq, replayed=done.replayed)


@app.post("/v1/conversations/<conversation_id>/seal", tags=["Conversations"])
def post_seal(conversation_id: PathId) -> Response[Conversation]:
    """Close a conversation: it takes no more messages."""
    caller = app.caller.require_scope("write")
    require_conversation_access(caller, conversation_id)
    seal(caller.tenant, conversation_id, caller.key_id)
    return _respond_with_head(caller.tenant, conversation_id)


def _respond_with_head(tenant: str, conversation_id: str) -> Response[Conversation]:
    head = get_head(tenant, conversation_id)
    return respond(present_conversation(head), etag=head.version)
