"""Memory spaces: what is known of one, beside its name, and who takes part in it.

Spaces are optional: every route takes the id of a space that nobody described.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Annotated, Any, NotRequired, cast

from pydantic import AfterValidator, Field
from typing_extensions import TypedDict

from annals.access.caller import Caller
from annals.api.fields import Id, Json, Model, Name, Word, field_error
from annals.database.damage import AttributeTypes, decode_item, find_mismatch
from annals.database.dynamodb import Item, client, from_item, to_item
from annals.database.keys import split_partition_key
from annals.database.state import put_if
from annals.database.transactions import try_transaction
from annals.errors import DamagedItem, Forbidden, PreconditionFailed, RequestTooLarge, SpaceNotFound, WriteConflict
from annals.json_text import dump
from annals.ledger.idempotency import IdempotentRequest, find_result, marker_put
from annals.memory.retention_timers import read_retention_days, space_key
from annals.memory.user_traces import SPACE, put_trace
from annals.retries import tries
from annals.settings import settings
from annals.times import now_ms, to_rfc3339

MAX_BYTES = 256 * 1024
"""The most that a space's description may weigh as JSON."""


MAX_RETENTION_DAYS = 3650
"""The longest time after which a space's conversations may be erased by themselves."""


STORED: AttributeTypes = {"described": str, "version": int, "createdAt": int, "updatedAt": int}
DESCRIBED: AttributeTypes = {"participants": list, "metadata": dict}
"""What is always stored of a space, and always said of it, with its types."""

NO_PERSONS = ("agent", "tool")
"""The types of participants that are no persons: they stay when somebody of the same id is erased."""

WRITERS = 8
"""How many participants are noted side by side."""


class Participant(Model):
    """Somebody who takes part in a space: a person, an agent, a tool."""

    participant_id: Id
    type: Word | None = None
    name: Name | None = None


def _distinct(participants: list[Participant]) -> list[Participant]:
    if len({each.participant_id for each in participants}) < len(participants):
        raise field_error("DUPLICATE_VALUES", "must not name a participant twice")
    return participants


class PutSpace(Model):
    """What is to be known of a space, in the place of what was known before."""

    name: Name | None = None
    participants: Annotated[list[Participant], Field(max_length=1000), AfterValidator(_distinct)] = Field(
        default_factory=list
    )
    metadata: Json = Field(default_factory=dict)
    retention_days: Annotated[int, Field(ge=1, le=MAX_RETENTION_DAYS)] | None = None


class ShownParticipant(TypedDict):
    """Somebody who takes part in a space."""

    participantId: str
    type: NotRequired[str]
    name: NotRequired[str]


class ShownSpace(TypedDict):
    """A memory space. Its ETag is ``version``."""

    memorySpaceId: str
    name: NotRequired[str]
    participants: list[ShownParticipant]
    metadata: Json
    retentionDays: NotRequired[int]
    version: int
    createdAt: str
    updatedAt: str


@dataclass(frozen=True)
class Space:
    """A described space; ``described`` is what was said of it, as the API shows it. Times are Unix milliseconds."""

    tenant: str
    memory_space_id: str
    described: Json
    version: int
    created_at: int
    updated_at: int

    def show(self) -> ShownSpace:
        """The API's space."""
        times = {"createdAt": to_rfc3339(self.created_at), "updatedAt": to_rfc3339(self.updated_at)}
        shown = {"memorySpaceId": self.memory_space_id, **self.described, "version": self.version, **times}
        return cast("ShownSpace", shown)


def find_space(caller: Caller, memory_space_id: str) -> Space:
    """A space that the caller may see. Raises SpaceNotFound, also for one that nobody described."""
    found = _read(caller.tenant, memory_space_id) if caller.may_see(memory_space_id) else None
    if found is None:
        raise SpaceNotFound(memory_space_id)
    return found


def put_space(
    caller: Caller,
    memory_space_id: str,
    said: PutSpace,
    expected_version: int | None = None,
    request: IdempotentRequest | None = None,
) -> tuple[Space, bool]:
    """Describe a space, in the place of what was said of it before.

    Returns
    -------
    Space and bool
        The space as it is described so, and whether an earlier try of the request had described it.

    Raises
    ------
    SpaceNotFound : it is not open to the caller
    Forbidden : its retention would change, and the caller may not erase
    PreconditionFailed : its version is not ``expected_version``; one that nobody described has version 0
    RequestTooLarge, IdempotencyKeyReused, WriteConflict
    """
    if not caller.may_see(memory_space_id):
        raise SpaceNotFound(memory_space_id)
    described = {**said.model_dump(by_alias=True, exclude_none=True), "metadata": said.metadata}
    if (size := len(dump(described).encode())) > MAX_BYTES:
        field = max(described, key=lambda name: len(dump(described[name])))
        detail = f"The space takes {size} bytes of JSON; one may take {MAX_BYTES}, and {field} takes most."
        raise RequestTooLarge(detail, field=field)
    once = _beside_space(caller.tenant, memory_space_id, request)
    named = [each["participantId"] for each in described["participants"]]
    for _ in tries(settings().append_patience_s):
        if once and (earlier := find_result(once)):
            return Space(caller.tenant, memory_space_id, described, **earlier), True
        before = _read(caller.tenant, memory_space_id)
        version = before.version if before else 0
        if expected_version is not None and version != expected_version:
            raise PreconditionFailed(expected_version, version)
        _require_may_erase(caller, before, described)
        at = now_ms()
        first = before or Space(caller.tenant, memory_space_id, described, 0, at, at)
        space = replace(first, described=described, version=version + 1, updated_at=at)
        new = set(named) - {each["participantId"] for each in (before.described["participants"] if before else ())}
        _trace(space, new)
        if _stored(space, version, once):
            # Once more: an erasure that went through the traces meanwhile has dropped them.
            _trace(space, new)
            return space, False
    raise WriteConflict(f"memory space {memory_space_id!r}")


def _require_may_erase(caller: Caller, before: Space | None, described: Json) -> None:
    """Raise Forbidden where a retention is changed by who may not erase: in time, it erases conversations."""
    stored = before.described.get("retentionDays") if before else None
    if described.get("retentionDays") != stored and "erase" not in caller.scopes:
        detail = "Only a key with the scope 'erase' changes a space's retentionDays; others say it as it is."
        raise Forbidden(detail, field="retentionDays")


def find_participant(tenant: str, memory_space_id: str, user_id: str) -> Mapping[str, Any] | None:
    """What is known of a person in a space that they take part in; None where they don't."""
    space = _read(tenant, memory_space_id)
    people = space.described["participants"] if space else []
    return next((each for each in people if _is_person(each, user_id)), None)


def delete_participant(tenant: str, memory_space_id: str, user_id: str) -> None:
    """Take a person out of a space. Raises WriteConflict where others keep changing it."""
    for _ in tries(settings().append_patience_s):
        try:
            space = _read(tenant, memory_space_id)
        except DamagedItem:
            _empty(tenant, memory_space_id)
            return
        if space is None:
            return
        left = [each for each in space.described["participants"] if not _is_person(each, user_id)]
        if len(left) == len(space.described["participants"]):
            return
        described = {**space.described, "participants": left}
        changed = replace(space, described=described, version=space.version + 1, updated_at=now_ms())
        if _stored(changed, space.version, None):
            return
    raise WriteConflict(f"memory space {memory_space_id!r}")


def _empty(tenant: str, memory_space_id: str) -> None:
    """Take all words out of a description that cannot be read: whom it names, nobody can tell."""
    days = read_retention_days(tenant, memory_space_id)
    described = {"participants": [], "metadata": {}, **({"retentionDays": days} if days is not None else {})}
    at = now_ms()
    space = Space(tenant, memory_space_id, described, 1, at, at)
    put_if(_to_item(space), "attribute_exists(pk)")


def trace_participants(item: Item) -> None:
    """Let the participants of a stored space be found there, of whom a former version may have noted none."""
    space = _from_item(item)
    _trace(space, [each["participantId"] for each in space.described["participants"]])


def _is_person(participant: Mapping[str, Any], user_id: str) -> bool:
    """Whether a participant is the person of an id, and no agent or tool of the same one."""
    return participant["participantId"] == user_id and participant.get("type") not in NO_PERSONS


def _trace(space: Space, user_ids: Iterable[str]) -> None:
    """Let the participants of a space be found there."""
    with ThreadPoolExecutor(WRITERS) as writers:
        list(writers.map(lambda user_id: put_trace(space.tenant, user_id, SPACE, space.memory_space_id), user_ids))


def _read(tenant: str, memory_space_id: str) -> Space | None:
    key = space_key(tenant, memory_space_id)
    item = client().get_item(TableName=settings().state_table, Key=key, ConsistentRead=True).get("Item")
    return _from_item(item) if item else None


def _from_item(item: Mapping[str, Any]) -> Space:
    """The space of a stored item. Raises Damaged."""
    return decode_item(item, _read_item)


def _read_item(item: Mapping[str, Any]) -> Space:
    values = from_item(item)
    tenant, _, [name] = split_partition_key(values["pk"])
    described: Any = json.loads(values["described"])
    reason = find_mismatch(values, STORED, {}) or find_mismatch(
        described, DESCRIBED, {"name": str, "retentionDays": int}
    )
    for each in [] if reason else described["participants"]:
        reason = reason or find_mismatch(each, {"participantId": str}, {"type": str, "name": str})
    if reason:
        raise DamagedItem(values["pk"], values["sk"], reason)
    return Space(tenant, name, described, values["version"], values["createdAt"], values["updatedAt"])


def _beside_space(tenant: str, memory_space_id: str, request: IdempotentRequest | None) -> IdempotentRequest | None:
    key = space_key(tenant, memory_space_id)
    return request.with_marker_in(key["pk"]["S"], key["sk"]["S"]) if request else None


def _stored(space: Space, before: int, once: IdempotentRequest | None) -> bool:
    """Store a space if its version is still the one before."""
    item = _to_item(space)
    condition, compared = ("version = :before", {":before": before}) if before else ("attribute_not_exists(pk)", {})
    if once is None:
        return put_if(item, condition, compared) is None
    put: dict[str, Any] = {"TableName": settings().state_table, "Item": item, "ConditionExpression": condition}
    if compared:
        put["ExpressionAttributeValues"] = to_item(compared)
    told = {"version": space.version, "created_at": space.created_at, "updated_at": space.updated_at}
    return try_transaction([{"Put": put}, marker_put(once, told)])


def _to_item(space: Space) -> Item:
    retention = {name: days for name, days in space.described.items() if name == "retentionDays"}
    values = {
        **retention,
        "described": dump(space.described),
        "version": space.version,
        "createdAt": space.created_at,
        "updatedAt": space.updated_at,
    }
    return {**space_key(space.tenant, space.memory_space_id), **to_item(values)}
