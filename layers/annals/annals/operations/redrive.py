"""Redriving: retries what the stream and ingest functions could not do, from their queues of failures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from annals.database.failures_queue import sqs_client
from annals.errors import AnnalsError, SearchUnavailable, Unavailable
from annals.ingest.redriving import IngestFailure
from annals.ledger.keys import is_conversation_pk, is_entry_sk, seq_of_sk
from annals.memory.erasure.message_redaction import finish_redactions
from annals.memory.erasure.resuming import is_erasure_key, resume_erasure
from annals.memory.indexing.indexer import index_entries, index_item
from annals.memory.indexing.stream_indexing import open_targets
from annals.memory.keys import is_memory_sk
from annals.memory.retention_timers import project_with_timer
from annals.publishing.notify import notify_entries, notify_item
from annals.settings import settings

RECEIVE = {"MaxNumberOfMessages": 10, "VisibilityTimeout": 300, "WaitTimeSeconds": 1}
"""How messages are received: hidden for five minutes, after which a message that failed is visible again. Without a
wait, SQS asks only some of its servers, and an empty answer would not mean an empty queue."""

PAGES = 10_000
"""How many pages of a shard are read for one batch, at most."""

GONE = {"TrimmedDataAccessException", "ResourceNotFoundException"}

Message = Mapping[str, Any]


class RecordsExpired(Exception):
    """The records that a message names are no longer in the stream, which keeps them for 24 hours."""


class FailureKind(Protocol):
    """A kind of failure: how its messages are recognised and retried."""

    def matches(self, message: Message) -> bool:
        """Whether a message is of this kind."""
        ...

    def retry(self, message: Message) -> None:
        """Do what failed, which may be done by now. Raises RecordsExpired, AnnalsError, or ClientError."""
        ...


class RecordFailure:
    """A record that a stream function set aside: ``pk``, ``sk`` and ``reason``."""

    def matches(self, message: Message) -> bool:
        """Whether it holds a key and a reason."""
        return {"pk", "sk", "reason"} <= message.keys()

    def retry(self, message: Message) -> None:
        """Project, index and publish the record's item as it is now; or go on with an erasure."""
        if is_erasure_key(message["pk"], message["sk"]):
            resume_erasure(message["pk"], message["sk"])
        else:
            _catch_up(message["pk"], message["sk"])


class StreamFailure:
    """A batch that Lambda gave up on, by shard and sequence numbers: read from the stream again."""

    def matches(self, message: Message) -> bool:
        """Whether it names a batch of the functions that project and index."""
        return "DDBStreamBatchInfo" in message and not _is_erasure(message)

    def retry(self, message: Message) -> None:
        """Project, index and publish the items of the batch's records."""
        for keys in _read_keys(message["DDBStreamBatchInfo"]):
            _catch_up(keys["pk"]["S"], keys["sk"]["S"])


class ErasureFailure:
    """A batch of the function that finishes erasures, which Lambda gave up on."""

    def matches(self, message: Message) -> bool:
        """Whether it names such a batch."""
        return "DDBStreamBatchInfo" in message and _is_erasure(message)

    def retry(self, message: Message) -> None:
        """Go on with the erasures whose receipts, repeat requests, expired timers or markers the batch names."""
        for keys in _read_keys(message["DDBStreamBatchInfo"]):
            if is_erasure_key(keys["pk"]["S"], keys["sk"]["S"]):
                resume_erasure(keys["pk"]["S"], keys["sk"]["S"])


KINDS: Sequence[FailureKind] = (RecordFailure(), StreamFailure(), ErasureFailure(), IngestFailure())


@dataclass
class RedriveResult:
    """How many messages were done, failed, came too late for their stream, and are of no kind that is known here."""

    done: int = 0
    failed: int = 0
    expired: int = 0
    others: int = 0
    last_reason: str = ""


def redrive(url: str, kinds: Sequence[FailureKind] = KINDS) -> RedriveResult:
    """Retry the messages of a queue; each is deleted when that has succeeded, and stays otherwise.

    Messages of an unknown kind stay, too. Raises ClientError where the queue does not answer.
    """
    result = RedriveResult()
    for message in _receive(url):
        kind = _find_kind(message["Body"], kinds)
        if kind is None:
            result.others += 1
        elif _try(kind, message["Body"], result):
            sqs_client(url).delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            result.done += 1
    return result


def _receive(url: str) -> Iterator[Mapping[str, Any]]:
    """The messages of a queue, each once, though one that failed is visible again after a while."""
    seen: set[str] = set()
    while True:
        response = sqs_client(url).receive_message(QueueUrl=url, **RECEIVE)
        fresh = [each for each in response.get("Messages", []) if each["MessageId"] not in seen]
        if not fresh:
            return
        seen |= {each["MessageId"] for each in fresh}
        yield from fresh


def _find_kind(body: str, kinds: Sequence[FailureKind]) -> FailureKind | None:
    try:
        message = json.loads(body)
    except ValueError:
        return None
    return next((kind for kind in kinds if isinstance(message, dict) and kind.matches(message)), None)


def _try(kind: FailureKind, body: str, result: RedriveResult) -> bool:
    try:
        kind.retry(json.loads(body))
    except RecordsExpired:
        result.expired += 1
    except (AnnalsError, ClientError) as error:
        result.failed += 1
        result.last_reason = str(error)
    else:
        return True
    return False


def _is_erasure(message: Message) -> bool:
    return "FinishErasure" in str(message.get("requestContext", {}).get("functionArn", ""))


def _catch_up(pk: str, sk: str) -> None:
    if is_conversation_pk(pk) and (seq := seq_of_sk(sk)) is not None:
        project_with_timer(pk)
        finish_redactions(pk, [seq])
    _index(pk, sk)
    _notify(pk, sk)


def _index(pk: str, sk: str) -> None:
    for target in open_targets():
        if is_conversation_pk(pk) and (seq := seq_of_sk(sk)) is not None:
            reasons = list(index_entries(target, pk, seq, seq).values())
        elif is_memory_sk(sk):
            reasons = [failure.reason for failure in index_item(target, pk, sk)]
        else:
            return
        if reasons:
            raise SearchUnavailable(reasons[0])


def _notify(pk: str, sk: str) -> None:
    if not is_entry_sk(sk):
        notify_item(pk, sk)
    elif is_conversation_pk(pk) and (seq := seq_of_sk(sk)) is not None and notify_entries(pk, [seq]):
        raise Unavailable("The bus did not take an event.")


def _read_keys(batch: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The keys of a batch's records. Raises RecordsExpired where the stream has lost any of them."""
    streams = boto3.client(
        "dynamodbstreams",
        endpoint_url=settings().dynamodb_url or None,
        config=Config(parameter_validation=False),  # emulators have short shard ids
    )
    end = int(batch["endSequenceNumber"])
    try:
        iterator = streams.get_shard_iterator(
            StreamArn=batch["streamArn"],
            ShardId=batch["shardId"],
            ShardIteratorType="AT_SEQUENCE_NUMBER",
            SequenceNumber=batch["startSequenceNumber"],
        ).get("ShardIterator")
        for _ in range(PAGES):
            if not iterator:
                return
            response = streams.get_records(ShardIterator=iterator)
            for record in response["Records"]:
                number = int(record["dynamodb"]["SequenceNumber"])
                if number <= end:
                    yield record["dynamodb"]["Keys"]
                if number >= end:
                    return
            iterator = response.get("NextShardIterator")
    except ClientError as error:
        if error.response["Error"]["Code"] in GONE:
            raise RecordsExpired from error
        raise
