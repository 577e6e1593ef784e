"""Events from a bucket: transcripts, read line by line. Where reading broke off, the next try goes on."""

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
from annals.ingest.failures import is_poison, report
from annals.ingest.lines import MAX_LINE_BYTES, numbered_lines, store_line
from annals.ingest.storing import RETENTION_S, Arrived, caller_of, request_of
from annals.json_text import parse
from annals.settings import settings
from annals.times import now_ms

MAX_DAMAGED_LINES = 100
"""How many lines of an object may be damaged before it counts as no transcript."""

LINES_BETWEEN_NOTES = 500
"""After how many lines it is noted how far an object was read."""

GONE = {"NoSuchKey", "NoSuchVersion", "PreconditionFailed", "404", "412"}

Record = Mapping[str, Any]


class Unfinished(Exception):
    """The time for an object was over before its end; the next try goes on behind what was read."""


@cache
def s3_client() -> Any:
    """The S3 client."""
    made: Any = boto3.client("s3")
    return made


def take_objects(event: Mapping[str, Any], has_time: Callable[[], bool]) -> None:
    """Store the lines of the objects that an event names; put aside those that can never be stored.

    Raises
    ------
    Exception : whatever may be over when the event comes again
    """
    for record in event["Records"]:
        try:
            store_object(record, has_time)
        except AnnalsError as error:
            if not is_poison(error):
                raise
            report({"Records": [record]}, error)


def store_object(record: Record, has_time: Callable[[], bool]) -> None:
    """Store the lines of the object that a record names, or the one that it names as ``line``. Raises AnnalsError."""
    transcript = _Transcript.of(record)
    if "line" not in record:
        transcript.take(has_time)
        return
    for number, line in transcript.lines():
        if number == record["line"]:
            transcript.store(number, line)
            return


@dataclass(frozen=True)
class _Transcript:
    """One version of an object, in the record that told of it."""

    record: Record
    caller: Caller
    source: str
    bucket: str
    key: str
    version: Mapping[str, str]

    @staticmethod
    def of(record: Record) -> _Transcript:
        bucket, thing = record["s3"]["bucket"], record["s3"]["object"]
        source, version_id = bucket["arn"], thing.get("versionId")
        version = {"VersionId": version_id} if version_id else {"IfMatch": f'"{thing["eTag"]}"'}
        key = unquote_plus(thing["key"])
        return _Transcript(record, caller_of(source), source, bucket["name"], key, version)

    def take(self, has_time: Callable[[], bool]) -> None:
        """Store the lines that were not stored yet."""
        done = self._read_note()
        damaged = 0
        for number, line in self.lines():
            if number <= done:
                continue
            damaged += not self._take_line(number, line)
            if damaged == MAX_DAMAGED_LINES:
                self._note(number)
                detail = f"{damaged} lines are damaged, and what follows line {number} was not read."
                raise InvalidInput("TOO_MANY_DAMAGED_LINES", detail, field=f"line {number}")
            if number % LINES_BETWEEN_NOTES == 0:
                self._note(number)
            if not has_time():
                self._note(number)
                raise Unfinished(f"An object was read up to line {number} in the time that there was.")

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """The object's lines. Raises NotFound where this version of it is gone."""
        try:
            found = s3_client().get_object(Bucket=self.bucket, Key=self.key, **self.version)
        except ClientError as error:
            if error.response["Error"]["Code"] in GONE:
                raise NotFound("The object was deleted or replaced before it was read.", field="key") from None
            raise
        with closing(found["Body"]) as body:
            yield from numbered_lines(body)

    def store(self, number: int, line: bytes) -> None:
        """Store a line. Raises AnnalsError."""
        if len(line) > MAX_LINE_BYTES:
            raise RequestTooLarge(f"A line may be {MAX_LINE_BYTES} bytes long.")
        said = parse(line)
        store_line(self.caller, said, request_of(self.caller, self._arrived(str(number)).key, said))

    def _take_line(self, number: int, line: bytes) -> bool:
        """Store a line, or put it aside: then False."""
        try:
            self.store(number, line)
        except AnnalsError as error:
            if not is_poison(error):
                raise
            error.detail = f"Line {number}: {error.detail}"
            report({"Records": [{**self.record, "line": number}]}, error)
            return False
        return True

    def _arrived(self, place: str) -> Arrived:
        return Arrived(self.source, "\0".join([self.key, *self.version.values(), place]), "")

    @property
    def _note_key(self) -> dict[str, str]:
        request = request_of(self.caller, self._arrived("lines").key, None)
        return {"pk": request.pk, "sk": "LINES"}

    def _read_note(self) -> int:
        """Up to which line the object was read before."""
        key = to_item(self._note_key)
        item = client().get_item(TableName=settings().state_table, Key=key, ConsistentRead=True).get("Item")
        return int(from_item(item)["line"]) if item else 0

    def _note(self, number: int) -> None:
        """Keep up to which line the object was read; whoever reads it at the same time may be further."""
        item = {**self._note_key, "line": number, "expiresAt": now_ms() // 1000 + RETENTION_S}
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
