"""Entries and records, what one append stores; the tail, what the next one needs; and the hash chain over it all.

The format is that of ``docs/ledger-format.md``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

NO_HASH = bytes(32)
"""``prev`` of a genesis entry."""

GENESIS = "genesis"
MESSAGE = "message"
PREAMBLE = "preamble"
ARCHIVE = "archive"
SEAL = "seal"
REDACTION = "redaction"
ERASURE = "erasure"
REWIND = "rewind"

SALT_BYTES = 16
"""The length of every salt, so that no byte of a body can pass for one of its salt."""

IDEMPOTENCY_BYTES = 16
"""The length of a request's id, and of the digest of its content."""

RECENT = 20
"""Among how many of a conversation's last entries a request is recognised, whatever seq it expects."""

OPEN, SEALED, ERASED = "open", "sealed", "erased"


@dataclass(frozen=True)
class Record:
    """A message, or something that was done to the conversation.

    ``body`` is JSON text. It is gone once it is redacted, with its ``salt``; ``digest`` stays for ever.
    ``external_id`` and ``supersedes`` are known of a record that is to be appended, for what is to be written beside
    it; a stored one has them in its body alone. ``freed`` is the seq of the rewound message whose external id it takes.
    """

    seq: int
    kind: str
    digest: bytes
    body: bytes | None = None
    salt: bytes | None = None
    external_id: str | None = field(default=None, compare=False)
    supersedes: int | None = field(default=None, compare=False)
    freed: int | None = field(default=None, compare=False)

    @staticmethod
    def new(seq: int, kind: str, body: bytes, external_id: str | None = None, supersedes: int | None = None) -> Record:
        """A record with a fresh salt, so that its digest tells nothing about its body."""
        salt = os.urandom(SALT_BYTES)
        return Record(seq, kind, digest_of(salt, body), body, salt, external_id, supersedes)

    def with_body(self, body: bytes) -> Record:
        """The same record, with another body, before it is stored."""
        other = Record.new(self.seq, self.kind, body)
        return replace(self, digest=other.digest, body=other.body, salt=other.salt)

    def matches_digest(self) -> bool:
        """Whether the record is what was appended, as far as it is still there."""
        if self.body is None or self.salt is None:
            return self.body is None and self.salt is None
        return len(self.salt) == SALT_BYTES and digest_of(self.salt, self.body) == self.digest

    def json_body(self) -> dict[str, Any] | None:
        """The JSON object that its body is; None where that is gone, or is not what was appended."""
        if self.body is None or not self.matches_digest():
            return None
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None


@dataclass(frozen=True)
class Idempotency:
    """Which request with an Idempotency-Key an entry stores: its id, and a digest of its content.

    The digest is salted with all salts of the entry's records, and empty once one of them is redacted.
    """

    id: bytes
    digest: bytes = b""


@dataclass(frozen=True)
class Entry:
    """What one append stored: one DynamoDB item, one link of the chain.

    ``count`` is the number of messages up to and including this entry, ``at`` the server's time in Unix milliseconds.
    ``preamble`` is the seq of the preamble in force, messages up to seq ``archived`` are archived, and ``rewind`` is
    the seq of the last rewind; they follow from the records, are copied forward so that a reader finds them at the
    tail, and are 0 where there is none. ``said`` is when the latest message up to here was said, where that is not
    ``at``; copied forward like them. ``n`` is how many records a stored item says that it holds; None before it is
    stored.
    """

    pk: str
    entry_id: str
    records: tuple[Record, ...]
    count: int
    state: str
    at: int
    prev: bytes
    hash: bytes = b""
    idem: Idempotency | None = None
    thread_id: str | None = None
    preamble: int = 0
    archived: int = 0
    rewind: int = 0
    said: int | None = None
    n: int | None = None

    @property
    def last_message_at(self) -> int | None:
        """When the latest message up to and including this entry was said; None where the entry does not tell."""
        if self.said is None and self.records[0].kind == MESSAGE:
            return self.at
        return self.said

    @property
    def seq(self) -> int:
        return self.records[0].seq

    @property
    def last_seq(self) -> int:
        return self.records[-1].seq

    @property
    def is_intact(self) -> bool:
        """Whether the entry is what its hash was made of, as far as it is still there."""
        return hash_of(self) == self.hash and all(record.matches_digest() for record in self.records)

    @property
    def salts(self) -> bytes:
        """The salts of all records that still have one."""
        return b"".join(record.salt or b"" for record in self.records)

    def chained(self) -> Entry:
        """The same entry with its hash."""
        return replace(self, hash=hash_of(self))


@dataclass(frozen=True)
class Tail:
    """What the next writer must know of the last entry.

    ``kind`` is that of its first record. ``last_message_at`` is when the latest message was said, None where the entry
    does not tell. ``recent`` is which of the last RECENT entries, or more, store a request with
    an Idempotency-Key: the request's id and the entry's seq, the oldest first. None where that was not read.
    """

    seq: int
    count: int
    state: str
    at: int
    hash: bytes
    kind: str = MESSAGE
    preamble: int = 0
    archived: int = 0
    rewind: int = 0
    last_message_at: int | None = None
    recent: tuple[tuple[bytes, int], ...] | None = field(default=None, compare=False)

    @staticmethod
    def of(entry: Entry, before: Tail | None = None) -> Tail:
        """The tail that an entry is, appended after the tail ``before``."""
        kind = entry.records[0].kind
        recent = (
            None if before is None or before.recent is None else (*before.recent, *recent_requests(entry))[-RECENT:]
        )
        return Tail(
            seq=entry.last_seq,
            count=entry.count,
            state=entry.state,
            at=entry.at,
            hash=entry.hash,
            kind=kind,
            preamble=entry.preamble,
            archived=entry.archived,
            rewind=entry.rewind,
            last_message_at=entry.last_message_at,
            recent=recent,
        )


def recent_requests(entry: Entry) -> tuple[tuple[bytes, int], ...]:
    """What ``Tail.recent`` holds of one entry."""
    return ((entry.idem.id, entry.seq),) if entry.idem else ()


def digest_of(salt: bytes, body: bytes) -> bytes:
    """The digest that commits to a record's body without giving it away: ``sha256(salt ‖ body)``."""
    return sha256(salt + body).digest()


def hash_of(entry: Entry) -> bytes:
    """The link of the chain: SHA-256 over the lines that ``docs/ledger-format.md`` specifies."""
    return sha256("".join(f"{line}\n" for line in _chain_lines(entry)).encode()).digest()


def _chain_lines(entry: Entry) -> Iterable[str]:
    yield "annals-entry-1"
    yield entry.prev.hex()
    yield sha256(entry.pk.encode()).hexdigest()
    yield entry.entry_id
    yield str(entry.count)
    yield entry.state
    yield str(entry.at)
    for record in entry.records:
        yield f"{record.seq} {record.kind} {record.digest.hex()}"
