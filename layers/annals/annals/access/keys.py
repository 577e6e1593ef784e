"""API keys: made once, stored as a digest, looked up by the tenant and id that the key itself names."""

from __future__ import annotations

import hmac
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from botocore.exceptions import ClientError

from annals.access.caller import Caller
from annals.database.damage import AttributeTypes, decode_item, decode_readable, find_mismatch
from annals.database.dynamodb import Item, client, from_item
from annals.database.keys import escape, item_key, partition_key
from annals.database.state import put_if, read_partition, state_item
from annals.database.transactions import condition_failed, transact
from annals.errors import DamagedItem, KeyAlreadyMade, KeyNotFound, Unavailable
from annals.ledger.idempotency import IdempotentRequest, marker_put
from annals.settings import settings
from annals.times import now_ms

PREFIX = "annals"
"""What the text of every key begins with."""

KEY_ID = re.compile(r"key-[0-9a-f]{16}")

MAX_CHARS = 800
"""No key is longer: its tenant has up to 512 bytes. A longer tenant would not fit into a key of the table."""

KEY: AttributeTypes = {"tenant": str, "keyId": str, "name": str, "digest": bytes, "scopes": list, "createdAt": int}
OPTIONAL: AttributeTypes = {"spaces": list, "validUntil": int, "revokedAt": int, "createdBy": str}
"""The attributes of a key, with their types: first those that are always there, then those that may be."""


@dataclass(frozen=True)
class Key:
    """An API key as it is stored. Times are Unix milliseconds; ``created_by`` is the key or token that made it."""

    tenant: str
    key_id: str
    name: str
    digest: bytes
    scopes: frozenset[str]
    spaces: frozenset[str] | None
    created_at: int
    valid_until: int | None = None
    revoked_at: int | None = None
    created_by: str | None = None

    @property
    def works(self) -> bool:
        """Whether the key is neither revoked nor expired."""
        return self.revoked_at is None and (self.valid_until is None or now_ms() < self.valid_until)

    def to_caller(self) -> Caller:
        """Whom the key stands for."""
        return Caller(self.tenant, self.key_id, self.scopes, self.spaces, self.valid_until)


@dataclass(frozen=True)
class Credential:
    """The parts of a key's text."""

    tenant: str
    key_id: str
    secret: str

    @staticmethod
    def parse(text: str) -> Credential | None:
        """The credential in a key's text, or None where the text is no key."""
        prefix, _, rest = text.partition(".")
        parts = rest.split(".")
        if prefix != PREFIX or len(parts) != 3 or len(text) > MAX_CHARS or not KEY_ID.fullmatch(parts[1]):
            return None
        try:
            tenant = urlsafe_b64decode(parts[0] + "=" * (-len(parts[0]) % 4)).decode()
        except ValueError:
            return None
        return Credential(tenant, parts[1], parts[2])

    def __str__(self) -> str:
        tenant = urlsafe_b64encode(self.tenant.encode()).decode().rstrip("=")
        return f"{PREFIX}.{tenant}.{self.key_id}.{self.secret}"


def create_key(
    tenant: str,
    name: str,
    scopes: frozenset[str],
    spaces: frozenset[str] | None,
    valid_until: int | None,
    created_by: str,
    request: IdempotentRequest | None = None,
) -> tuple[Key, str]:
    """Store a new key and return it with its text, which is stored nowhere.

    Raises
    ------
    RequestTooLarge : its name or its memory spaces
    KeyAlreadyMade : an earlier try of the request made one
    IdempotencyKeyReused : the request's key came with another request before
    """
    credential = Credential(tenant, f"key-{secrets.token_hex(8)}", secrets.token_urlsafe(32))
    digest = _digest(credential.secret)
    key = Key(tenant, credential.key_id, name, digest, scopes, spaces, now_ms(), valid_until, created_by=created_by)
    _store(key, request)
    return key, str(credential)


def _store(key: Key, request: IdempotentRequest | None) -> None:
    """Store a new key; for a request with an Idempotency-Key, once."""
    item, is_new = _to_key_item(key), "attribute_not_exists(pk)"
    if request is None:
        if put_if(item, is_new) is not None:
            raise Unavailable("The new key's id is taken. Send the request again.")
        return
    put: Any = {"TableName": settings().state_table, "Item": item, "ConditionExpression": is_new}
    marker: Any = marker_put(request, {"keyId": key.key_id})
    cancelled = transact([{"Put": put}, marker])
    if cancelled is None:
        return
    if not cancelled.failed(1):
        raise cancelled.error
    stored_id = request.read_result(cancelled.item(1))["keyId"]
    if stored_id != key.key_id:
        raise KeyAlreadyMade(stored_id)


def find_key(text: str) -> Key | None:
    """The key of a text, if it works; None for any other text."""
    credential = Credential.parse(text)
    if credential is None:
        return None
    table_key = _key_of(credential.tenant, credential.key_id)
    item = client().get_item(TableName=settings().state_table, Key=table_key, ConsistentRead=True).get("Item")
    if item is None:
        return None
    try:
        key = _from_key_item(item)
    except DamagedItem:
        return None
    return key if hmac.compare_digest(key.digest, _digest(credential.secret)) and key.works else None


def list_keys(caller: Caller, *, after: str = "") -> Iterator[Key]:
    """The keys of the caller's tenant that open no more than its own, by their ids, after one; revoked ones too."""
    start: dict[str, Any] = {"ExclusiveStartKey": _key_of(caller.tenant, after)} if after else {}
    keys = decode_readable(read_partition(_pk(caller.tenant), **start), _from_key_item)
    return (key for key in keys if caller.covers(key.spaces))


def revoke_key(caller: Caller, key_id: str) -> None:
    """Make a key stop working that opens no more than the caller's own; it stays in the list. Raises KeyNotFound."""
    item = next((item for item in read_partition(_pk(caller.tenant)) if item["sk"]["S"] == _sk(key_id)), None)
    if item is None:
        raise KeyNotFound(key_id)
    key = next(decode_readable([item], _from_key_item), None)
    if not caller.covers(key.spaces if key else None):  # one that cannot be read may open all
        raise KeyNotFound(key_id)
    try:
        client().update_item(
            TableName=settings().state_table,
            Key=_key_of(caller.tenant, key_id),
            UpdateExpression="SET revokedAt = if_not_exists(revokedAt, :now)",
            ConditionExpression="attribute_exists(pk)",
            ExpressionAttributeValues={":now": {"N": str(now_ms())}},
        )
    except ClientError as error:
        if not condition_failed(error):
            raise
        raise KeyNotFound(key_id) from None


def _digest(secret: str) -> bytes:
    """The secret is 256 random bits, so that one round of SHA-256 is all the protection its digest needs."""
    return sha256(secret.encode()).digest()


def _pk(tenant: str) -> str:
    return partition_key(tenant, "K")


def _key_of(tenant: str, key_id: str) -> Item:
    return item_key(_pk(tenant), _sk(key_id))


def _sk(key_id: str) -> str:
    return f"K#{escape(key_id)}"


def _to_key_item(key: Key) -> Item:
    values = {
        "tenant": key.tenant,
        "keyId": key.key_id,
        "name": key.name,
        "digest": key.digest,
        "scopes": sorted(key.scopes),
        "spaces": None if key.spaces is None else sorted(key.spaces),
        "createdAt": key.created_at,
        "validUntil": key.valid_until,
        "createdBy": key.created_by,
    }
    stored = {name: value for name, value in values.items() if value is not None}
    fields = {"name": key.name, "memorySpaces": sorted(key.spaces or ())}
    return state_item(_key_of(key.tenant, key.key_id), stored, kind="key", fields=fields)


def _from_key_item(item: Mapping[str, Any]) -> Key:
    """The key of a stored item. Raises Damaged: what is not exactly as it was stored lets nobody in."""
    return decode_item(item, _from_item)


def _from_item(item: Mapping[str, Any]) -> Key:
    values = from_item(item)
    spaces = values.get("spaces")
    reason = find_mismatch(values, KEY, OPTIONAL)
    if not reason and not all(isinstance(word, str) for word in (*values["scopes"], *(spaces or ()))):
        reason = "its scopes and spaces are not words"
    if not reason and _key_of(values["tenant"], values["keyId"]) != {name: item[name] for name in ("pk", "sk")}:
        reason = "it says that it is another key"
    if reason:
        raise DamagedItem(item["pk"]["S"], item["sk"]["S"], reason)
    return Key(
        tenant=values["tenant"],
        key_id=values["keyId"],
        name=values["name"],
        digest=values["digest"],
        scopes=frozenset(values["scopes"]),
        spaces=None if spaces is None else frozenset(spaces),
        created_at=values["createdAt"],
        valid_until=values.get("validUntil"),
        revoked_at=values.get("revokedAt"),
        created_by=values.get("createdBy"),
    )
