"""The stream mappings: each polls a table's stream and invokes its function, with Lambda's rules for failures."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from local.template import StreamMapping
from local.wakeup import Wakeup
from local.workers import FunctionFailed

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

log = logging.getLogger("annals")

Record = dict[str, Any]
Invoke = Callable[[str, dict[str, Any]], Any]
RETRY_S = 0.1
"""Before what failed is tried again, the first time."""
IDLE_S = 2.0
"""The longest wait before a stream is read again without a signal: another process may have written."""
OUTAGE_S = 1.0
LONGEST_PAUSE_S = 5.0
NEW_SHARDS_EVERY_S = 30.0


@dataclass(frozen=True)
class Pace:
    """How streams are read.

    Parameters
    ----------
    pause_s : between two reads of a stream, so that a burst of writes is read together
    drain_s : how long, when all stops, what is left may still be worked off
    """

    pause_s: float = 0.15
    drain_s: float = 20.0


USUAL = Pace()


class Checkpoints:
    """How far each mapping has come in each shard, kept in a file.

    Parameters
    ----------
    file : a JSON file, ``{mapping: {shard id: sequence number}}``
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._positions: dict[str, dict[str, str]] = json.loads(file.read_text()) if file.exists() else {}

    def position(self, mapping: str, shard: str) -> str | None:
        """The sequence number of the last record that was worked off."""
        return self._positions.get(mapping, {}).get(shard)

    def move(self, mapping: str, shard: str, sequence_number: str) -> None:
        """Note that a record was worked off."""
        with self._lock:
            self._positions.setdefault(mapping, {})[shard] = sequence_number
            new = self._file.with_suffix(".new")
            new.write_text(json.dumps(self._positions))
            new.replace(self._file)


@dataclass(frozen=True)
class DeadLetters:
    """What could not be worked off, as JSON lines in a file."""

    file: Path

    def put(self, mapping: str, record: Record, reason: str) -> None:
        """Keep a record, and say so in the log."""
        log.error("%s gave up on record %s (%s); it is in %s", mapping, record["eventID"], reason, self.file)
        with self.file.open("a") as lines:
            lines.write(json.dumps({"mapping": mapping, "reason": reason, "record": record}) + "\n")

    def read(self) -> list[dict[str, Any]]:
        """All of them."""
        return [json.loads(line) for line in self.file.read_text().splitlines()] if self.file.exists() else []


@dataclass
class Delivery:
    """Hands the records of a shard to a function until they are worked off or given up.

    A batch that fails entirely is halved, so that the bad record is found; one record is tried ``retry_attempts`` more
    times. An answer with ``batchItemFailures`` means: all before the lowest of them is done.
    """

    mapping: StreamMapping
    invoke: Invoke
    dead_letters: DeadLetters
    done: Callable[[Record], None]
    stopping: threading.Event
    _last_failure: str = ""

    def deliver(self, records: Sequence[Record]) -> None:
        """Work off the records, in order."""
        left, size, attempts = list(records), self.mapping.batch_size, 0
        while left:
            batch = left[:size]
            failure, count = self._try(batch)
            if count:
                self.done(batch[count - 1])
                left, size, attempts = left[count:], self.mapping.batch_size, 0
            elif len(batch) > 1:
                size = len(batch) // 2
            elif attempts >= self.mapping.retry_attempts or self._pause(attempts):
                self.dead_letters.put(self.mapping.name, batch[0], failure)
                self.done(batch[0])
                left, attempts = left[1:], 0
            else:
                attempts += 1

    def _pause(self, attempts: int) -> bool:
        """Wait before the next attempt; True when there is none because the server stops."""
        return self.stopping.wait(min(RETRY_S * 2**attempts, LONGEST_PAUSE_S))

    def _try(self, batch: Sequence[Record]) -> tuple[str, int]:
        """Why it failed, and how many records are done."""
        try:
            answer = self.invoke(self.mapping.function, {"Records": list(batch)})
        except BrokenProcessPool:
            return "its process died", 0
        if isinstance(answer, FunctionFailed):
            if answer.message != self._last_failure:
                log.error("%s failed and is tried again\n%s", self.mapping.function, answer.trace.rstrip())
            self._last_failure = answer.message
            return answer.message, 0
        self._last_failure = ""
        return "the function reports that it failed", _count_done(answer, batch)


def _count_done(answer: Any, batch: Sequence[Record]) -> int:
    failures = (answer or {}).get("batchItemFailures") or []
    positions = {record["dynamodb"]["SequenceNumber"]: position for position, record in enumerate(batch)}
    return min((positions.get(failure["itemIdentifier"], 0) for failure in failures), default=len(batch))


class ReaderProgress:
    """What the readers found when they last looked, for those who wait until nothing is left.

    Parameters
    ----------
    readers : their names
    look : has all of them look again
    """

    def __init__(self, readers: Sequence[str], look: Callable[[], None]) -> None:
        self._changed = threading.Condition()
        self._look = look
        self._empty_since = dict.fromkeys(readers, 0.0)
        self._worked_until = 0.0

    def note(self, reader: str, begun_at: float, worked: bool) -> None:
        """A reader has looked at its stream, and worked off what was there, if anything."""
        with self._changed:
            if worked:
                self._worked_until = time.monotonic()
            else:
                self._empty_since[reader] = begun_at
            self._changed.notify_all()

    def settle(self, timeout_s: float) -> list[str]:
        """Wait until what is written by now is worked off, and what was written by that.

        So it is when each reader found nothing, since now and since the last of them worked.

        Returns
        -------
        those that were not done in time
        """
        deadline = time.monotonic() + timeout_s
        since, looked_at = time.monotonic(), -1.0
        with self._changed:
            while behind := self._behind(since):
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    break
                if looked_at < self._worked_until or looked_at < since:
                    looked_at = time.monotonic()
                    self._look()
                self._changed.wait(left_s)
            return behind

    def _behind(self, since: float) -> list[str]:
        return [name for name, at in self._empty_since.items() if at <= max(since, self._worked_until)]


@dataclass
class StreamReader:
    """One mapping's thread.

    Parameters
    ----------
    streams : a ``dynamodbstreams`` client, without parameter validation, because emulators have short shard ids
    arn : the stream
    written : rings when something was written, and when the server stops; without it, the stream is looked at all the
        time
    progress : gets a note of each read
    pace : how often it reads
    """

    mapping: StreamMapping
    streams: Any
    arn: str
    invoke: Invoke
    checkpoints: Checkpoints
    dead_letters: DeadLetters
    stopping: threading.Event
    progress: ReaderProgress
    written: Wakeup | None = None
    pace: Pace = USUAL
    _iterators: dict[str, str | None] = field(default_factory=dict)
    _refreshed: float = 0.0

    def run(self) -> None:
        """Poll until the server stops and nothing is left."""
        deadline = None
        while deadline is None or time.monotonic() < deadline:
            if self.stopping.is_set() and deadline is None:
                deadline = time.monotonic() + self.pace.drain_s
            seen, begun_at = self.written.rung if self.written else 0, time.monotonic()
            try:
                worked = self._poll()
            except (BotoCoreError, ClientError) as error:
                worked = self._recover(error)
            self.progress.note(self.mapping.name, begun_at, worked)
            if not worked and self.stopping.is_set():
                return
            # After work, too: what is written meanwhile is then worked off together, beside fewer calls of functions.
            if not self.stopping.wait(self.pace.pause_s) and not worked and self.written:
                self.written.wait(seen, IDLE_S)

    def _recover(self, error: Exception) -> bool:
        if self.stopping.is_set():
            return False
        log.warning("%s cannot read its stream: %s", self.mapping.name, error)
        self._iterators.clear()
        self._refreshed = 0.0
        self.stopping.wait(OUTAGE_S)
        return True

    def _poll(self) -> bool:
        """Read each open shard once; whether there was anything."""
        if time.monotonic() - self._refreshed > NEW_SHARDS_EVERY_S:
            self._find_shards()
        worked = False
        for shard, iterator in list(self._iterators.items()):
            if iterator is not None:
                worked |= self._read(shard, iterator)
        return worked

    def _find_shards(self) -> None:
        shards = list(self._shards())
        known = {shard["ShardId"] for shard in shards}
        for shard in shards:
            parent = shard.get("ParentShardId", "")
            is_next = parent not in known or self._iterators.get(parent, "") is None
            if is_next and shard["ShardId"] not in self._iterators:
                self._iterators[shard["ShardId"]] = self._iterator(shard["ShardId"])
        self._refreshed = time.monotonic()

    def _shards(self) -> Iterator[Mapping[str, Any]]:
        start: dict[str, str] = {}
        while True:
            description = self.streams.describe_stream(StreamArn=self.arn, **start)["StreamDescription"]
            yield from description["Shards"]
            if "LastEvaluatedShardId" not in description:
                return
            start = {"ExclusiveStartShardId": description["LastEvaluatedShardId"]}

    def _iterator(self, shard: str) -> str:
        position = self.checkpoints.position(self.mapping.name, shard)
        try:
            if position is not None:
                after = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": position}
                return self._iterator_at(shard, after)
        except ClientError:
            log.debug("%s begins its stream anew", self.mapping.name)
        return self._iterator_at(shard, {"ShardIteratorType": "TRIM_HORIZON"})

    def _iterator_at(self, shard: str, position: dict[str, str]) -> str:
        answer = self.streams.get_shard_iterator(StreamArn=self.arn, ShardId=shard, **position)
        return str(answer["ShardIterator"])

    def _read(self, shard: str, iterator: str) -> bool:
        answer = self.streams.get_records(ShardIterator=iterator, Limit=1000)
        records = [_as_event(record, self.arn) for record in answer["Records"]]
        matching = [record for record in records if matches_patterns(record, self.mapping.patterns)]
        if matching:
            Delivery(self.mapping, self.invoke, self.dead_letters, self._mark(shard), self.stopping).deliver(matching)
        if records:
            self._mark(shard)(records[-1])
        self._iterators[shard] = answer.get("NextShardIterator")
        if self._iterators[shard] is None:
            self._refreshed = 0.0  # the shard is at its end: the next look is at the one that follows it
        return bool(records) or self._iterators[shard] is None

    def _mark(self, shard: str) -> Callable[[Record], None]:
        def mark(record: Record) -> None:
            self.checkpoints.move(self.mapping.name, shard, record["dynamodb"]["SequenceNumber"])

        return mark


def matches_patterns(record: Record, patterns: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a record fits one of the patterns, or there are none. Patterns name values or prefixes of them."""
    return not patterns or any(_fits(record, pattern) for pattern in patterns)


def _fits(value: Any, pattern: Any) -> bool:
    if isinstance(pattern, list):
        return any(value == rule or _begins(value, rule) for rule in pattern)
    return isinstance(value, dict) and all(_fits(value.get(name), part) for name, part in pattern.items())


def _begins(value: Any, rule: Any) -> bool:
    return isinstance(rule, dict) and isinstance(value, str) and value.startswith(rule["prefix"])


def _as_event(record: Mapping[str, Any], arn: str) -> Record:
    """A stream record as Lambda hands it on: plain JSON."""
    dynamodb = {**record["dynamodb"]}
    created = dynamodb.get("ApproximateCreationDateTime")
    if created is not None:
        dynamodb["ApproximateCreationDateTime"] = created.timestamp()
    return {**record, "dynamodb": dynamodb, "eventSourceARN": arn}


class StreamReaders:
    """All mappings' threads.

    Parameters
    ----------
    mappings : the template's
    table_names : the tables' names by logical id
    invoke : calls a function and waits for its answer
    folder : where checkpoints and dead letters are kept
    written : rings when something was written; without it, the streams are looked at all the time
    pace : how often they look
    """

    def __init__(
        self,
        mappings: Sequence[StreamMapping],
        table_names: Mapping[str, str],
        dynamodb: DynamoDBClient,
        streams: Any,
        invoke: Invoke,
        folder: Path,
        written: Wakeup | None = None,
        pace: Pace = USUAL,
    ) -> None:
        self._stopping = threading.Event()
        self._written = written
        self._progress = ReaderProgress([mapping.name for mapping in mappings], self._look)
        checkpoints = Checkpoints(folder / "streams.json")
        self.dead_letters = dead_letters = DeadLetters(folder / "dlq.jsonl")
        self._threads = [
            threading.Thread(
                name=mapping.name,
                target=StreamReader(
                    mapping,
                    streams,
                    arn,
                    invoke,
                    checkpoints,
                    dead_letters,
                    self._stopping,
                    self._progress,
                    written,
                    pace,
                ).run,
            )
            for mapping in mappings
            for arn in [dynamodb.describe_table(TableName=table_names[mapping.table])["Table"]["LatestStreamArn"]]
        ]

    def start(self) -> None:
        """Begin to read."""
        for thread in self._threads:
            thread.start()

    def settle(self, timeout_s: float) -> list[str]:
        """Have all that is written by now worked off. Returns the mappings that were not done in time."""
        return self._progress.settle(timeout_s)

    def _look(self) -> None:
        if self._written:
            self._written.ring()

    def stop(self) -> None:
        """Work off what is in the streams, then end."""
        self._stopping.set()
        self._look()
        for thread in self._threads:
            thread.join()
