"""Memory spaces: the description of one, and who takes part in it.

Spaces are optional: every route takes the id of a space that nobody described. A participant leads back to the space by
a trace, so that an erased user's spaces can be found.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, cast

from annals.access.caller import Caller
from annals.api.fields import Json
from annals.database.damage import AttributeTypes, decode_item, find_mismatch
from annals.database.dynamodb import Item, from_item, to_item
from annals.database.keys import split_partition_key
from annals.database.state import find_item, put_if
from annals.database.transactions import try_transaction
from annals.errors import (
    DamagedItem,
    Forbidden,
    InvalidInput,
    PreconditionFailed,
    RequestTooLarge,
    SpaceEmbeddingsFixed,
    SpaceNotFound,
    WriteConflict,
)
from annals.json_text import dump
from annals.ledger.idempotency import IdempotentRequest, find_result, marker_put
from annals.memory.retention_timers import read_retention_days, space_key
from annals.memory.space_models import PutSpace, SpaceEmbeddings, SpaceResponse
from annals.memory.user_traces import SPACE, put_trace
from annals.retries import tries
from annals.settings import settings
from annals.times import now_ms, to_rfc3339

MAX_BYTES = 256 * 1024
"""The most that a space's description may weigh as JSON."""

SPACE_ATTRIBUTES: AttributeTypes = {"described": str, "version": int, "createdAt": int, "updatedAt": int}
DESCRIPTION_FIELDS: AttributeTypes = {"participants": list, "metadata": dict}
"""The attributes of every space, and the fields of every description, with their types."""

NOT_USERS = ("agent", "tool")
"""The types of participants that are no users: they stay when a user of the same id is erased."""

WRITERS = 8
"""How many participants' traces are written side by side."""


@dataclass(frozen=True)
class Space:
    """A described space; ``described`` is what was said of it, as the API shows it. Times are Unix milliseconds."""

    tenant: str
    memory_space_id: str
    description: Json
    version: int
    created_at: int
    updated_at: int

    @property
    def participant_ids(self) -> set[str]:
        return {each["participantId"] for each in self.description["participants"]}

    @property
    def embeddings(self) -> Mapping[str, Any] | None:
        """What is said of the vectors that callers bring; None where they bring none."""
        stored: Mapping[str, Any] | None = self.description.get("embeddings")
        return stored

    def present(self) -> SpaceResponse:
        """As the API shows it."""
        times = {"createdAt": to_rfc3339(self.created_at), "updatedAt": to_rfc3339(self.updated_at)}
        values = {"memorySpaceId": self.memory_space_id, **self.description, "version": self.version, **times}
        return cast("SpaceResponse", values)


def get_space(caller: Caller, memory_space_id: str) -> Space:
    """A space that the caller may see. Raises SpaceNotFound, also for one that nobody described."""
    space = _find(caller.tenant, memory_space_id) if caller.may_see(memory_space_id) else None
    if space is None:
        raise SpaceNotFound(memory_space_id)
    return space


def put_space(
    caller: Caller,
    memory_space_id: str,
    body: PutSpace,
    expected_version: int | None = None,
    request: IdempotentRequest | None = None,
) -> tuple[Space, bool]:
    """Describe a space: the new description replaces the one before.

    Returns
    -------
    Space and bool
        The space with this description, and whether an earlier try of the request had stored it.

    Raises
    ------
    SpaceNotFound : it is not open to the caller
    Forbidden : its retention would change, and the caller may not erase
    PreconditionFailed : its version is not ``expected_version``; one that nobody described has version 0
    InvalidInput : its callers' vectors are longer than the index takes
    SpaceEmbeddingsFixed : its callers' vectors would be other ones
    RequestTooLarge, IdempotencyKeyReused, WriteConflict
    """
    if not caller.may_see(memory_space_id):
        raise SpaceNotFound(memory_space_id)
    description = {**body.model_dump(by_alias=True, exclude_none=True), "metadata": body.metadata}
    _require_fits(description)
    _require_room_for_vectors(body.embeddings)
    marked = _with_marker(caller.tenant, memory_space_id, request)
    for _ in tries(settings().append_patience_s):
        if marked and (result := find_result(marked)):
            return Space(caller.tenant, memory_space_id, description, **result), True
        before = _find(caller.tenant, memory_space_id)
        version = before.version if before else 0
        if expected_version is not None and version != expected_version:
            raise PreconditionFailed(expected_version, version)
        _require_may_erase(caller, before, description)
        _require_embeddings_stay(before, description)
        at = now_ms()
        base = before or Space(caller.tenant, memory_space_id, description, 0, at, at)
        space = replace(base, description=description, version=version + 1, updated_at=at)
        new_ids = space.participant_ids - (before.participant_ids if before else set())
        # Before the space: a trace that leads nowhere does no harm, a participant without one is never found.
        _put_traces(space, new_ids)
        if _store(space, version, marked):
            # Once more: an erasure that went through the traces meanwhile has deleted them.
            _put_traces(space, new_ids)
            return space, False
    raise WriteConflict(f"memory space {memory_space_id!r}")


def _require_fits(description: Json) -> None:
    """Raise RequestTooLarge for a description that is larger than a space may have; the field is what takes most."""
    if (size := len(dump(description).encode())) > MAX_BYTES:
        field = max(description, key=lambda name: len(dump(description[name])))
        detail = f"The space takes {size} bytes of JSON; one may take {MAX_BYTES}, and {field} takes most."
        raise RequestTooLarge(detail, field=field)


def _require_may_erase(caller: Caller, before: Space | None, description: Json) -> None:
    """Raise Forbidden where a retention is changed by who may not erase: in time, it erases conversations."""
    stored = before.description.get("retentionDays") if before else None
    if description.get("retentionDays") != stored and "erase" not in caller.scopes:
        detail = "Only a key with the scope 'erase' changes a space's retentionDays; others say it as it is."
        raise Forbidden(detail, field="retentionDays")


def _require_room_for_vectors(embeddings: SpaceEmbeddings | None) -> None:
    """Raise InvalidInput where the index has no room for a space's vectors."""
    room = settings().caller_dimensions
    if embeddings and embeddings.dimensions > room:
        detail = (
            f"The search index takes vectors of callers of up to {room} numbers; CallerDimensions of the stack, or "
            "CALLER_DIMENSIONS on a laptop, sets how many, and then `annals rebuild index` makes the index anew."
        )
        raise InvalidInput("INVALID_RANGE", detail, field="embeddings.dimensions")


def _require_embeddings_stay(before: Space | None, description: Json) -> None:
    """Raise SpaceEmbeddingsFixed where a space's vectors would be of another model than those that it has."""
    if before and (stored := before.embeddings) and description.get("embeddings") != stored:
        raise SpaceEmbeddingsFixed(before.memory_space_id)


def find_embeddings(tenant: str, memory_space_id: str | None) -> Mapping[str, Any] | None:
    """What a space's description says of its callers' vectors; None where they bring none."""
    space = _find(tenant, memory_space_id) if memory_space_id else None
    return space.embeddings if space else None


def find_participant(tenant: str, memory_space_id: str, user_id: str) -> Mapping[str, Any] | None:
    """What a space's description says of a user who takes part in it; None for one who doesn't."""
    space = _find(tenant, memory_space_id)
    participants = space.description["participants"] if space else []
    return next((each for each in participants if _is_user(each, user_id)), None)


def delete_participant(tenant: str, memory_space_id: str, user_id: str) -> None:
    """Take a user out of a space. Raises WriteConflict where others keep changing it."""
    for _ in tries(settings().append_patience_s):
        try:
            space = _find(tenant, memory_space_id)
        except DamagedItem:
            _scrub(tenant, memory_space_id)
            return
        if space is None:
            return
        others = [each for each in space.description["participants"] if not _is_user(each, user_id)]
        if len(others) == len(space.description["participants"]):
            return
        description = {**space.description, "participants": others}
        changed = replace(space, description=description, version=space.version + 1, updated_at=now_ms())
        if _store(changed, space.version, None):
            return
    raise WriteConflict(f"memory space {memory_space_id!r}")


def _scrub(tenant: str, memory_space_id: str) -> None:
    """Take all words out of a description that cannot be read: whom it names, nobody can tell."""
    days = read_retention_days(tenant, memory_space_id)
    description = {"participants": [], "metadata": {}, **({"retentionDays": days} if days is not None else {})}
    at = now_ms()
    put_if(_to_item(Space(tenant, memory_space_id, description, 1, at, at)), "attribute_exists(pk)")


def put_participant_traces(item: Item) -> None:
    """Write the traces of the participants of a stored space, of which a former version may have written none."""
    space = _from_item(item)
    _put_traces(space, space.participant_ids)


def _is_user(participant: Mapping[str, Any], user_id: str) -> bool:
    """Whether a participant is the user of an id, and no agent or tool of the same one."""
    return participant["participantId"] == user_id and participant.get("type") not in NOT_USERS


def _put_traces(space: Space, user_ids: Collection[str]) -> None:
    with ThreadPoolExecutor(WRITERS) as writers:
        list(writers.map(lambda user_id: put_trace(space.tenant, user_id, SPACE, space.memory_space_id), user_ids))


def _find(tenant: str, memory_space_id: str) -> Space | None:
    item = find_item(space_key(tenant, memory_space_id))
    return _from_item(item) if item else None


def _from_item(item: Mapping[str, Any]) -> Space:
    """The space of a stored item. Raises DamagedItem."""
    return decode_item(item, _read_item)


def _read_item(item: Mapping[str, Any]) -> Space:
    values = from_item(item)
    tenant, _, [name] = split_partition_key(values["pk"])
    description: Any = json.loads(values["described"])
    reason = find_mismatch(values, SPACE_ATTRIBUTES, {}) or find_mismatch(
        description, DESCRIPTION_FIELDS, {"name": str, "retentionDays": int, "embeddings": dict}
    )
    for each in [] if reason else description["participants"]:
        reason = reason or find_mismatch(each, {"participantId": str}, {"type": str, "name": str})
    if reason:
        raise DamagedItem(values["pk"], values["sk"], reason)
    return Space(tenant, name, description, values["version"], values["createdAt"], values["updatedAt"])


def _with_marker(tenant: str, memory_space_id: str, request: IdempotentRequest | None) -> IdempotentRequest | None:
    key = space_key(tenant, memory_space_id)
    return request.with_marker_in(key["pk"]["S"], key["sk"]["S"]) if request else None


def _store(space: Space, version_before: int, marked: IdempotentRequest | None) -> bool:
    """Store a space if its version is still the one before; 0 is that of one that nobody described."""
    item = _to_item(space)
    condition = "version = :before" if version_before else "attribute_not_exists(pk)"
    values = {":before": version_before} if version_before else {}
    if marked is None:
        return put_if(item, condition, values) is None
    put: dict[str, Any] = {"TableName": settings().state_table, "Item": item, "ConditionExpression": condition}
    if values:
        put["ExpressionAttributeValues"] = to_item(values)
    result = {"version": space.version, "created_at": space.created_at, "updated_at": space.updated_at}
    return try_transaction([{"Put": put}, marker_put(marked, result)])


def _to_item(space: Space) -> Item:
    retention = {name: days for name, days in space.description.items() if name == "retentionDays"}
    values = {
        **retention,
        "described": dump(space.description),
        "version": space.version,
        "createdAt": space.created_at,
        "updatedAt": space.updated_at,
    }
    return {**space_key(space.tenant, space.memory_space_id), **to_item(values)}
