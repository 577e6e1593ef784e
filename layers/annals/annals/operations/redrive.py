"""Redriving: what the stream functions could not do, done from their queue of failures, as the tables are now."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from annals.conversations.receipts import RECEIPT
from annals.database.failures_queue import sqs_client
from annals.errors import AnnalsError, SearchUnavailable, Unavailable
from annals.ingest.redriving import IngestFailure
from annals.ledger.keys import is_conversation_pk, is_entry_sk, seq_of_sk
from annals.memory.erasure.message_redaction import finish_redactions
from annals.memory.erasure.resuming import finish
from annals.memory.erasure.user_receipts import REPEAT_SK
from annals.memory.indexing.indexer import index_entries, index_item
from annals.memory.indexing.stream_indexing import open_targets
from annals.memory.keys import is_memory_sk
from annals.memory.retention_timers import TIMER, project_with_timer
from annals.publishing.notify import notify_entries, notify_item
from annals.settings import settings

TAKEN = {"MaxNumberOfMessages": 10, "VisibilityTimeout": 300, "WaitTimeSeconds": 1}
"""How messages are taken. They are hidden from others for a while, and show themselves again where their work failed;
without a wait only some of SQS' servers are asked, and an empty answer says little."""

PAGES = 10_000
"""How many pages of a shard are read for one batch, at most."""

GONE = {"TrimmedDataAccessException", "ResourceNotFoundException"}

Message = Mapping[str, Any]


class Expired(Exception):
    """What a message speaks of is in the stream no more: it held keys for 24 hours."""


class Kind(Protocol):
    """A kind of message."""

    def takes(self, message: Message) -> bool:
        """Whether a message is of this kind."""
        ...

    def work(self, message: Message) -> None:
        """Do what it asks for, which may have been done before. Raises Expired, AnnalsError, or what AWS says."""
        ...


class IndexFailure:
    """A record that a stream function set aside: ``pk``, ``sk`` and ``reason``."""

    def takes(self, message: Message) -> bool:
        """Whether it holds a key and a reason."""
        return {"pk", "sk", "reason"} <= message.keys()

    def work(self, message: Message) -> None:
        """Project and index what is there now, and tell of it; or go on with an erasure."""
        if message["sk"] in (RECEIPT, REPEAT_SK, TIMER):
            finish(message["pk"], message["sk"])
        else:
            _work_off(message["pk"], message["sk"])


class StreamFailure:
    """A batch that Lambda gave up on, by shard and sequence numbers: read from the stream again."""

    def takes(self, message: Message) -> bool:
        """Whether it names a batch of the functions that project and index."""
        return "DDBStreamBatchInfo" in message and not _is_erasure(message)

    def work(self, message: Message) -> None:
        """Project and index the batch's records, and tell of them."""
        for keys in _keys_of(message["DDBStreamBatchInfo"]):
            _work_off(keys["pk"]["S"], keys["sk"]["S"])


class ErasureFailure:
    """A batch of the function that finishes erasures, which Lambda gave up on."""

    def takes(self, message: Message) -> bool:
        """Whether it names such a batch."""
        return "DDBStreamBatchInfo" in message and _is_erasure(message)

    def work(self, message: Message) -> None:
        """Go on with the erasures whose receipts, or timers that are gone, the batch names."""
        for keys in _keys_of(message["DDBStreamBatchInfo"]):
            if keys["sk"]["S"] in (RECEIPT, TIMER):
                finish(keys["pk"]["S"], keys["sk"]["S"])


KINDS: Sequence[Kind] = (IndexFailure(), StreamFailure(), ErasureFailure(), IngestFailure())


@dataclass
class RedriveResult:
    """How many messages were worked off, failed, came too late, and are of no kind that is known here."""

    done: int = 0
    failed: int = 0
    expired: int = 0
    others: int = 0
    last_reason: str = ""


def redrive(url: str, kinds: Sequence[Kind] = KINDS) -> RedriveResult:
    """Work off the messages of a queue; each is deleted when its work has succeeded, and stays otherwise.

    Messages of no kind that is known stay, too. Raises ClientError where the queue does not answer.
    """
    redriven = RedriveResult()
    for message in _received(url):
        kind = _kind_of(message["Body"], kinds)
        if kind is None:
            redriven.others += 1
        elif _works(kind, message["Body"], redriven):
            sqs_client(url).delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            redriven.done += 1
    return redriven


def _received(url: str) -> Iterator[Mapping[str, Any]]:
    """The messages of a queue, each once: what is taken is hidden for a while."""
    seen: set[str] = set()
    while True:
        answer = sqs_client(url).receive_message(QueueUrl=url, **TAKEN)
        fresh = [each for each in answer.get("Messages", []) if each["MessageId"] not in seen]
        if not fresh:
            return
        seen |= {each["MessageId"] for each in fresh}
        yield from fresh


def _kind_of(body: str, kinds: Sequence[Kind]) -> Kind | None:
    try:
        message = json.loads(body)
    except ValueError:
        return None
    return next((kind for kind in kinds if isinstance(message, dict) and kind.takes(message)), None)


def _works(kind: Kind, body: str, redriven: RedriveResult) -> bool:
    try:
        kind.work(json.loads(body))
    except Expired:
        redriven.expired += 1
    except (AnnalsError, ClientError) as error:
        redriven.failed += 1
        redriven.last_reason = str(error)
    else:
        return True
    return False


def _is_erasure(message: Message) -> bool:
    return "FinishErasure" in str(message.get("requestContext", {}).get("functionArn", ""))


def _work_off(pk: str, sk: str) -> None:
    if is_conversation_pk(pk) and (seq := seq_of_sk(sk)) is not None:
        project_with_timer(pk)
        finish_redactions(pk, [seq])
    _index(pk, sk)
    _tell(pk, sk)


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


def _tell(pk: str, sk: str) -> None:
    if not is_entry_sk(sk):
        notify_item(pk, sk)
    elif is_conversation_pk(pk) and (seq := seq_of_sk(sk)) is not None and notify_entries(pk, [seq]):
        raise Unavailable("The bus did not take an event.")


def _keys_of(batch: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The keys of a batch's records. Raises Expired where the stream has lost any of them."""
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
            answer = streams.get_records(ShardIterator=iterator)
            for record in answer["Records"]:
                number = int(record["dynamodb"]["SequenceNumber"])
                if number <= end:
                    yield record["dynamodb"]["Keys"]
                if number >= end:
                    return
            iterator = answer.get("NextShardIterator")
    except ClientError as error:
        if error.response["Error"]["Code"] in GONE:
            raise Expired from error
        raise
