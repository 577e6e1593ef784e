"""Entries and records: what one append stores, and the hash chain over it (``docs/ledger-format.md``)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import sha256

NO_HASH = bytes(32)
"""``prev`` of a genesis entry."""

GENESIS = "genesis"
MESSAGE = "message"
PREAMBLE = "preamble"
ARCHIVE = "archive"
SEAL = "seal"
REDACTION = "redaction"
ERASURE = "erasure"

SALT_BYTES = 16
"""The length of every salt, so that no byte of a body can pass for one of its salt."""

OPEN, SEALED, ERASED = "open", "sealed", "erased"


@dataclass(frozen=True)
class Record:
    """One thing said or done. ``body`` and ``salt`` are gone once it is redacted; ``digest`` stays for ever."""

    seq: int
    kind: str
    digest: bytes
    body: bytes | None = None
    salt: bytes | None = None

    @staticmethod
    def new(seq: int, kind: str, body: bytes) -> Record:
        """A record with a fresh salt, so that its digest tells nothing about its body."""
        salt = os.urandom(SALT_BYTES)
        return Record(seq, kind, digest_of(salt, body), body, salt)

    def matches_digest(self) -> bool:
        """Whether what is kept of the record is what was appended; nothing kept contradicts nothing."""
        if self.body is None or self.salt is None:
            return self.body is None and self.salt is None
        return len(self.salt) == SALT_BYTES and digest_of(self.salt, self.body) == self.digest


@dataclass(frozen=True)
class Idempotency:
    """The caller's Idempotency-Key and the digest of the request that came with it."""

    key: str
    digest: bytes


@dataclass(frozen=True)
class Entry:
    """What one append stored: one DynamoDB item, one link of the chain.

    ``count`` is the number of messages up to and including this entry, ``at`` the server's time in Unix milliseconds.
    ``preamble`` is the seq of the preamble in force, and messages up to seq ``archived`` are archived; both follow from
    the records, are copied forward so that a reader finds them at the tail, and are 0 where there is none. ``n`` is how
    many records a stored item says that it holds; None before it is stored.
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
    n: int | None = None

    @property
    def seq(self) -> int:
        return self.records[0].seq

    @property
    def last_seq(self) -> int:
        return self.records[-1].seq

    def chained(self) -> Entry:
        """The same entry with its hash."""
        return replace(self, hash=hash_of(self))


@dataclass(frozen=True)
class Tail:
    """What the next writer must know of the last entry."""

    seq: int
    count: int
    state: str
    at: int
    hash: bytes
    kind: str = MESSAGE
    preamble: int = 0
    archived: int = 0

    @staticmethod
    def of(entry: Entry) -> Tail:
        kind = entry.records[0].kind
        return Tail(
            entry.last_seq, entry.count, entry.state, entry.at, entry.hash, kind, entry.preamble, entry.archived
        )


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
