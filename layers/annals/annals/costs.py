"""What a request costs: DynamoDB's capacity units, as its responses state them, and the tokens that were embedded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

WRITES = frozenset({"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"})


@dataclass
class Spent:
    """Write and read capacity units, and tokens as the embedding model counts them."""

    wcu: float = 0.0
    rcu: float = 0.0
    embed_tokens: int = 0

    def __str__(self) -> str:
        return f"wcu={self.wcu:g}, rcu={self.rcu:g}, embedTokens={self.embed_tokens}"


_spent: ContextVar[Spent | None] = ContextVar("spent", default=None)


@contextmanager
def metered() -> Iterator[Spent]:
    """What is spent within the block, by this thread and by those that take over its context."""
    spent = Spent()
    token = _spent.set(spent)
    try:
        yield spent
    finally:
        _spent.reset(token)


def note_embedded(tokens: int) -> None:
    """Note tokens that the embedding model was paid for."""
    if spent := _spent.get():
        spent.embed_tokens += tokens


class Hooks(Protocol):
    """Where a botocore client takes handlers of its events."""

    def register(self, event_name: str, handler: Any) -> None:
        """Call the handler whenever the event comes."""
        ...


def meter(hooks: Hooks) -> None:
    """Note what the requests of a DynamoDB client consume, within ``metered`` blocks."""
    hooks.register("before-parameter-build.dynamodb", _request_consumption)
    hooks.register("after-call.dynamodb", _add_consumption)


def _request_consumption(params: dict[str, Any], model: Any, **_: Any) -> None:
    if _spent.get() is not None and "ReturnConsumedCapacity" in model.input_shape.members:
        params.setdefault("ReturnConsumedCapacity", "TOTAL")


def _add_consumption(parsed: Mapping[str, Any], model: Any, **_: Any) -> None:
    spent = _spent.get()
    if spent is None:
        return
    consumed = parsed.get("ConsumedCapacity", [])
    units = sum(part["CapacityUnits"] for part in (consumed if isinstance(consumed, list) else [consumed]))
    if model.name in WRITES:
        spent.wcu += units
    else:
        spent.rcu += units
