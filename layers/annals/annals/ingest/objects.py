"""Events from a bucket: transcripts, read line by line. The next try goes on where reading broke off."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import unquote_plus

import boto3
from botocore.exceptions import ClientError

from annals.access.caller import Caller
from annals.database.dynamodb import client, from_item, to_item
from annals.database.transactions import condition_failed
from annals.errors import AnnalsError, InvalidInput, NotFound, RequestTooLarge
from annals.ingest.failures import is_poison, set_aside
from annals.ingest.lines import MAX_LINE_BYTES, numbered_lines, store_line
from annals.ingest.storing import RETENTION_S, IncomingEvent, ingest_caller, ingest_request
from annals.json_text import parse
from annals.settings import settings
from annals.times import now_ms

MAX_DAMAGED_LINES = 100
"""How many lines of an object may be damaged before the rest is left unread."""

LINES_PER_CHECKPOINT = 500
"""After how many lines it is stored how far an object was read."""

GONE = {"NoSuchKey", "NoSuchVersion", "PreconditionFailed", "404", "412"}

Record = Mapping[str, Any]


class Unfinished(Exception):
    """The function's time was over before the object's end; the next try goes on after the last line that was read."""


@cache
def s3_client() -> Any:
    """The client, created with the first object."""
    s3: Any = boto3.client("s3")
    return s3


def store_objects(event: Mapping[str, Any], has_time: Callable[[], bool]) -> None:
    """Store the lines of the objects that an event names; set aside those that can never be stored.

    Raises
    ------
    Exception : anything that may have passed when the event comes again
    """
    for record in event["Records"]:
        try:
            store_object(record, has_time)
        except AnnalsError as error:
            if not is_poison(error):
                raise
            set_aside({"Records": [record]}, error)


def store_object(record: Record, has_time: Callable[[], bool]) -> None:
    """Store the lines of the object that a record names, or only its ``line``. Raises AnnalsError."""
    transcript = _Transcript.of(record)
    if "line" not in record:
        transcript.store_rest(has_time)
        return
    for number, line in transcript.lines():
        if number == record["line"]:
            transcript.store_line(number, line)
            return


@dataclass(frozen=True)
class _Transcript:
    """One version of an object, and the record that names it."""

    record: Record
    caller: Caller
    source: str
    bucket: str
    key: str
    version: Mapping[str, str]

    @staticmethod
    def of(record: Record) -> _Transcript:
        bucket, s3_object = record["s3"]["bucket"], record["s3"]["object"]
        source, version_id = bucket["arn"], s3_object.get("versionId")
        version = {"VersionId": version_id} if version_id else {"IfMatch": f'"{s3_object["eTag"]}"'}
        key = unquote_plus(s3_object["key"])
        return _Transcript(record, ingest_caller(source), source, bucket["name"], key, version)

    def store_rest(self, has_time: Callable[[], bool]) -> None:
        """Store the lines that were not stored yet, as far as the time goes.

        A checkpoint is a hint: a line that is stored again after it was lost is known by its idempotency key.
        """
        done = self._read_checkpoint()
        damaged = 0
        for number, line in self.lines():
            if number <= done:
                continue
            damaged += not self._try_line(number, line)
            if damaged == MAX_DAMAGED_LINES:
                self._put_checkpoint(number)
                detail = f"{damaged} lines are damaged, and what follows line {number} was not read."
                raise InvalidInput("TOO_MANY_DAMAGED_LINES", detail, field=f"line {number}")
            if number % LINES_PER_CHECKPOINT == 0:
                self._put_checkpoint(number)
            if not has_time():
                self._put_checkpoint(number)
                raise Unfinished(f"The time was over when the object was read up to line {number}.")

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """The object's lines. Raises NotFound where this version of it is gone."""
        try:
            response = s3_client().get_object(Bucket=self.bucket, Key=self.key, **self.version)
        except ClientError as error:
            if error.response["Error"]["Code"] in GONE:
                raise NotFound("The object was deleted or replaced before it was read.", field="key") from None
            raise
        with closing(response["Body"]) as body:
            yield from numbered_lines(body)

    def store_line(self, number: int, line: bytes) -> None:
        """Store a line. Raises AnnalsError."""
        if len(line) > MAX_LINE_BYTES:
            raise RequestTooLarge(f"A line may be {MAX_LINE_BYTES} bytes long.")
        payload = parse(line)
        store_line(self.caller, payload, ingest_request(self.caller, self._part(str(number)).key, payload))

    def _try_line(self, number: int, line: bytes) -> bool:
        """Store a line, or set it aside. Whether it was stored."""
        try:
            self.store_line(number, line)
        except AnnalsError as error:
            if not is_poison(error):
                raise
            error.detail = f"Line {number}: {error.detail}"
            set_aside({"Records": [{**self.record, "line": number}]}, error)
            return False
        return True

    def _part(self, name: str) -> IncomingEvent:
        return IncomingEvent(self.source, "\0".join([self.key, *self.version.values(), name]), "")

    @property
    def _checkpoint_key(self) -> dict[str, str]:
        request = ingest_request(self.caller, self._part("lines").key, None)
        return {"pk": request.pk, "sk": "LINES"}

    def _read_checkpoint(self) -> int:
        """The last line that an earlier try read, or 0."""
        key = to_item(self._checkpoint_key)
        item = client().get_item(TableName=settings().state_table, Key=key, ConsistentRead=True).get("Item")
        return int(from_item(item)["line"]) if item else 0

    def _put_checkpoint(self, number: int) -> None:
        """Store up to which line the object was read, unless another try is further."""
        item = {**self._checkpoint_key, "line": number, "expiresAt": now_ms() // 1000 + RETENTION_S}
        try:
            client().put_item(
                TableName=settings().state_table,
                Item=to_item(item),
                ConditionExpression="attribute_not_exists(pk) OR #line < :line",
                ExpressionAttributeNames={"#line": "line"},
                ExpressionAttributeValues=to_item({":line": number}),
            )
        except ClientError as error:
            if not condition_failed(error):
                raise
