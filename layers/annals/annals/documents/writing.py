"""Storing and deleting documents: each write is one conditional request, and knows itself again where it is repeated.

An ordinary put changes the item without having read it, so that it costs no more than what it stores. What has to know
the item first (a document that has run out, one that gets a trace of its user, a transaction) writes on the condition
that it is as it was read.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from botocore.exceptions import ClientError

from annals.conversations.receipts import not_erased_check
from annals.database.damage import decode_readable
from annals.database.dynamodb import Item, client, to_item
from annals.database.state import delete_if, find_item
from annals.database.transactions import condition_failed, current_item, transact
from annals.documents.access import require_not_erased
from annals.documents.addresses import Address
from annals.documents.document_items import OPTIONAL, StoredDocument, base_bytes, from_document_item, to_attributes
from annals.documents.reading import expiry
from annals.documents.user_documents import delete_document_trace, document_trace_put
from annals.errors import (
    AnnalsError,
    ConversationErased,
    DocumentChanged,
    DocumentOfAnother,
    RequestTooLarge,
    WriteConflict,
)
from annals.json_text import dump
from annals.retries import tries
from annals.settings import settings
from annals.stored_values.values import BLOB, delete_value, keep_value
from annals.times import now_ms

MAX_SENT_BYTES = 6_000_000
"""The most that a value may take in an answer, where it is JSON inside of JSON: what is stored can be read."""


@dataclass(frozen=True)
class NewDocument:
    """A document to be stored.

    Parameters
    ----------
    value : any JSON
    if_version : the version that must be there, 0 for none; None where whatever is there is replaced
    ttl_s : after how many seconds it runs out; None for never
    user_id : whose data it is, beside its owner
    write_id : the same when the same request is sent again, so that it is stored once
    """

    address: Address
    value: Any
    if_version: int | None = None
    ttl_s: int | None = None
    user_id: str | None = None
    write_id: str = ""

    def to_stored(self) -> StoredDocument:
        """It as it is stored for the first time; its value is stored already where that is a blob.

        Raises RequestTooLarge.
        """
        text, now = dump(self.value), now_ms()
        if len(text) > MAX_SENT_BYTES // 8 and (size := _sent_bytes(text)) > MAX_SENT_BYTES:
            detail = f"value takes {size} bytes where it is sent, and at most {MAX_SENT_BYTES} can be: split it."
            raise RequestTooLarge(detail, field="value")
        new = StoredDocument(
            address=self.address,
            version=1,
            created_at=now,
            updated_at=now,
            write_id=self.write_id or secrets.token_hex(8),
            expires_at=expiry(self.ttl_s),
            ttl_s=self.ttl_s,
            user_id=self.user_id,
            kept={},
        )
        return replace(new, kept=keep_value(self.address.pk, self.address.sk, text, base_bytes(new)))


def _sent_bytes(text: str) -> int:
    return len(dump(text).encode())


def put_document(new: NewDocument) -> StoredDocument:
    """Store a document, and return it as it is stored now.

    Raises
    ------
    DocumentChanged : another version is there than ``if_version``
    DocumentOfAnother : it is another user's
    ConversationErased : the erasure of its conversation has begun
    RequestTooLarge, WriteConflict
    """
    stored = new.to_stored()
    try:
        done = _Put(new, stored).run()
    except AnnalsError:
        delete_value(new.address.pk, new.address.sk, stored.kept)
        raise
    if done.document.kept != stored.kept:
        delete_value(new.address.pk, new.address.sk, stored.kept)
    if done.before:
        delete_replaced(done.before, done.document)
    _require_kept(done.document)
    return done.document


@dataclass(frozen=True)
class Done:
    """A document as it is stored, and the one that it replaced, if there was one."""

    document: StoredDocument
    before: StoredDocument | None


def _require_kept(document: StoredDocument) -> None:
    """Take a document back that came after the erasure of its conversation had begun. Raises ConversationErased."""
    try:
        require_not_erased(document.address.owner)
    except ConversationErased:
        if delete_if(document.address.item_key, "writeId = :own", {":own": document.write_id}):
            delete_value(document.address.pk, document.address.sk, document.kept)
        raise


class _Put:
    """One put, tried until nobody else was faster."""

    def __init__(self, new: NewDocument, stored: StoredDocument) -> None:
        self._new = new
        self._stored = stored
        self._address = new.address

    def run(self) -> Done:
        """What came of it."""
        outcome = self._update() if self._may_update() else self._read()
        for _ in tries(settings().append_patience_s):
            if isinstance(outcome, Done):
                return outcome
            outcome = self._follow(outcome)
            if isinstance(outcome, Done):
                return outcome
        raise WriteConflict(f"document {self._address.key!r}")

    def _follow(self, item: Item) -> Done | Item:
        """Put the document in the place of what is there; or the item that is there by now."""
        before = from_document_item(self._address.owner, item) if item else None
        if before and before.write_id == self._stored.write_id:
            return Done(before, None)
        return self._replace(require_fits(self._stored, before, self._new.if_version), before)

    def _may_update(self) -> bool:
        """Whether the item need not be read first; of a user's there has to be a trace that leads to it."""
        return self._new.user_id is None or self._new.if_version != 0

    def _read(self) -> Item:
        return find_item(self._address.item_key) or {}

    def _update(self) -> Done | Item:
        """Change the item, whatever it is; or the item that does not allow that."""
        values = to_attributes(self._stored)
        changes = {name: value for name, value in values.items() if name not in ("version", "createdAt")}
        gone = sorted(OPTIONAL.keys() - changes.keys())
        condition, compared = self._condition()
        expression = "SET createdAt = if_not_exists(createdAt, :createdAt), "
        expression += ", ".join(f"#{name} = :{name}" for name in changes)
        expression += f" REMOVE {', '.join(f'#{name}' for name in gone)} ADD version :one"
        try:
            answer = client().update_item(
                TableName=settings().state_table,
                Key=self._address.item_key,
                UpdateExpression=expression,
                ConditionExpression=condition,
                ExpressionAttributeNames={f"#{name}": name for name in [*changes, *gone]},
                ExpressionAttributeValues=to_item(
                    {
                        **{f":{name}": value for name, value in changes.items()},
                        ":createdAt": self._stored.created_at,
                        ":one": 1,
                        **compared,
                    }
                ),
                ReturnValues="ALL_OLD",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ClientError as error:
            if not condition_failed(error):
                raise
            return current_item(error.response)
        old = answer.get("Attributes", {})
        # Of an item that is new, some databases return its key as what was there before.
        before = from_document_item(self._address.owner, old) if old.keys() - {"pk", "sk"} else None
        return Done(follow(self._stored, before), before)

    def _condition(self) -> tuple[str, dict[str, Any]]:
        """On which condition the item is changed without having been read, and what that compares with."""
        if self._new.if_version == 0:
            return "attribute_not_exists(pk)", {}
        compared: dict[str, Any] = {":now": self._stored.updated_at // 1000}
        condition = "writeId <> :writeId AND (attribute_not_exists(expiresAt) OR expiresAt > :now)"
        if self._new.if_version is not None:
            condition += " AND version = :expected"
            compared[":expected"] = self._new.if_version
        if self._new.user_id is not None:
            return f"{condition} AND userId = :userId", compared
        return condition if self._new.if_version is not None else f"attribute_not_exists(pk) OR ({condition})", compared

    def _replace(self, stored: StoredDocument, before: StoredDocument | None) -> Done | Item:
        """Put the item in the place of the one that was read; or the item that is there instead."""
        writes: list[Mapping[str, Any]] = [document_put(stored, before)]
        if stored.user_id is not None:
            writes.append(document_trace_put(stored))
        cancelled = transact(writes)
        if cancelled is None:
            return Done(stored, before)
        cancelled.require_lost_race()
        return cancelled.item(0) if cancelled.failed(0) else self._read()


def follow(stored: StoredDocument, before: StoredDocument | None) -> StoredDocument:
    """A document as the next version of the one before, if that was still there."""
    if before is None or before.is_over(stored.updated_at):
        return stored
    return replace(stored, version=before.version + 1, created_at=before.created_at)


def require_fits(stored: StoredDocument, before: StoredDocument | None, if_version: int | None) -> StoredDocument:
    """A document as it is stored after the one before, if that is the one that was expected.

    Raises DocumentChanged, DocumentOfAnother.
    """
    document = follow(stored, before)
    current = document.version - 1
    if if_version is not None and if_version != current:
        raise DocumentChanged(if_version, current)
    if current and before and stored.user_id is not None and before.user_id not in (None, stored.user_id):
        raise DocumentOfAnother(stored.address.key)
    return document


def document_put(document: StoredDocument, before: StoredDocument | None) -> dict[str, Any]:
    """The part of a transaction that puts a document in the place of another, as that was read; None for none."""
    put = {
        "TableName": settings().state_table,
        "Item": {**document.address.item_key, **to_item(to_attributes(document))},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    return {"Put": {**put, **as_it_was(before)}}


def as_it_was(before: StoredDocument | None) -> dict[str, Any]:
    """The condition that a document is as it was read."""
    if before is None:
        return {"ConditionExpression": "attribute_not_exists(pk)"}
    values = to_item({":before": before.write_id, ":version": before.version})
    return {
        "ConditionExpression": "writeId = :before AND version = :version",
        "ExpressionAttributeValues": values,
    }


def delete_document(address: Address, if_version: int | None = None, user_id: str | None = None) -> bool:
    """Delete a document; False where there is none, or none of the user who is named beside its owner.

    Raises DocumentChanged where another version is there than ``if_version``.
    """
    required = {"version": if_version, "userId": user_id}
    values = {f":{name}": value for name, value in required.items() if value is not None}
    more: dict[str, Any] = {}
    if values:
        conditions = (f"{name[1:]} = {name}" for name in values)
        more = {"ConditionExpression": " AND ".join(conditions), "ExpressionAttributeValues": to_item(values)}
        more["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
    try:
        answer = client().delete_item(
            TableName=settings().state_table, Key=address.item_key, ReturnValues="ALL_OLD", **more
        )
    except ClientError as error:
        if not condition_failed(error):
            raise
        item = current_item(error.response)
        require_deletable(from_document_item(address.owner, item) if item else None, if_version, user_id)
        return False
    old = answer.get("Attributes")
    if not old:
        return False
    for document in decode_readable([old], lambda item: from_document_item(address.owner, item)):
        delete_remains(document)
        return not document.is_over(now_ms())
    delete_value(address.pk, address.sk, {BLOB: old.get(BLOB, {}).get("S")})
    return True


def require_deletable(document: StoredDocument | None, if_version: int | None, user_id: str | None) -> None:
    """Raise DocumentChanged where a document that is to be deleted is there, in another version."""
    if document is None or document.is_over(now_ms()) or user_id not in (None, document.user_id):
        return
    if if_version is not None and document.version != if_version:
        raise DocumentChanged(if_version, document.version)


def delete_replaced(before: StoredDocument, document: StoredDocument) -> None:
    """Delete what is left of the version before: its blob, and what leads to it from a user whose it was."""
    delete_value(before.address.pk, before.address.sk, before.kept)
    if before.user_id not in (None, document.user_id):
        delete_document_trace(before)


def delete_remains(document: StoredDocument) -> None:
    """Delete what goes with a document that is deleted: its blob, and what leads from its user to it."""
    delete_value(document.address.pk, document.address.sk, document.kept)
    if document.user_id is not None:
        delete_document_trace(document)


def erasure_checks(addresses: Sequence[Address]) -> list[dict[str, object]]:
    """The parts of a transaction that require that no erasure of the documents' conversations has begun."""
    conversations = {(each.owner.tenant, each.owner.id) for each in addresses if each.owner.kind == "conversation"}
    return [not_erased_check(tenant, conversation_id) for tenant, conversation_id in sorted(conversations)]
