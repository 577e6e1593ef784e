"""Faults between Annals and DynamoDB: replies that get lost, throttling, conflicts with other writers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import ConnectionClosedError
from botocore.httpsession import URLLib3Session
from botocore.retries.standard import ExponentialBackoff

from annals.database.dynamodb import client

Fault = Callable[[AWSPreparedRequest], AWSResponse | None]
"""What happens to one request; with None it goes through as it is."""


@contextmanager
def on(operation: str, *faults: Fault, of: Any = None) -> Iterator[list[Fault]]:
    """Let the next requests of an operation meet these faults, in turn; yields those that were not met yet.

    The client library's retries do not wait meanwhile. ``of`` is another client than DynamoDB's.
    """
    faulty_client = of or client()
    left = list(faults)

    def meet(request: AWSPreparedRequest, **_: Any) -> AWSResponse | None:
        return left.pop(0)(request) if left else None

    with _meeting(
        faulty_client, f"before-send.{faulty_client.meta.service_model.service_id.hyphenize()}.{operation}", meet
    ):
        yield left


@dataclass
class Loss:
    """Whether a request met its fault."""

    came: bool = False


@contextmanager
def losing_reply(call: int) -> Iterator[Loss]:
    """Lose the reply to one request to DynamoDB, numbered from 1, whatever it asks for; it is carried out."""
    loss, numbers = Loss(), count(1)

    def meet(request: AWSPreparedRequest, **_: Any) -> AWSResponse | None:
        if next(numbers) != call:
            return None
        loss.came = True
        return lose_reply(request)

    with _meeting(client(), "before-send.dynamodb", meet):
        yield loss


@contextmanager
def dying_at(call: int, fault: Fault) -> Iterator[Loss]:
    """Let one request to DynamoDB, numbered from 1, meet a fault, and no later one reach it: as if the process died."""
    loss, numbers = Loss(), count(1)

    def meet(request: AWSPreparedRequest, **_: Any) -> AWSResponse | None:
        if (number := next(numbers)) < call:
            return None
        loss.came = True
        return fault(request) if number == call else lose_request(request)

    with _meeting(client(), "before-send.dynamodb", meet):
        yield loss


@contextmanager
def _meeting(faulty_client: Any, event: str, meet: Callable[..., AWSResponse | None]) -> Iterator[None]:
    faulty_client.meta.events.register(event, meet)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0.0)
            yield
    finally:
        faulty_client.meta.events.unregister(event, meet)


def go_through(_: AWSPreparedRequest) -> None:
    """Nothing happens."""


def lose_request(request: AWSPreparedRequest) -> AWSResponse:
    """The connection breaks before DynamoDB gets the request."""
    raise ConnectionClosedError(endpoint_url=request.url)


def lose_reply(request: AWSPreparedRequest) -> AWSResponse:
    """DynamoDB carries the request out, and the connection breaks before its reply."""
    URLLib3Session().send(request)
    raise ConnectionClosedError(endpoint_url=request.url)


def throttle(request: AWSPreparedRequest) -> AWSResponse:
    """DynamoDB is asked too much."""
    return _refusal(request, "ProvisionedThroughputExceededException")


def conflict(request: AWSPreparedRequest) -> AWSResponse:
    """The item is in somebody's transaction."""
    return _refusal(request, "TransactionConflictException")


def cancel(*codes: str) -> Fault:
    """The transaction is called off, for these reasons of its writes."""

    def refuse(request: AWSPreparedRequest) -> AWSResponse:
        reasons = [{"Code": code, **({} if code == "None" else {"Message": code})} for code in codes]
        return _refusal(request, "TransactionCanceledException", CancellationReasons=reasons)

    return refuse


def _refusal(request: AWSPreparedRequest, code: str, **more: Any) -> AWSResponse:
    body = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": code, **more}
    response = AWSResponse(request.url, 400, {"content-type": "application/x-amz-json-1.0"}, None)
    response._content = json.dumps(body).encode()
    return response
