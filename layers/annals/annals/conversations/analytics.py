"""Analytics of a conversation, stored beside it: each look reads only the messages since the last one.

The counts so far are an item of the state table, with the seq up to which they count. They are derived from the ledger,
and counted anew where they are missing.
"""

from __future__ import annotations

import json
import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from annals.answers import Room, fitting_counted
from annals.conversations.heads import ANALYTICS
from annals.conversations.models import Analytics
from annals.conversations.read import OpenConversation
from annals.conversations.receipts import not_erased_check
from annals.conversations.redaction_version import find_redaction_version, not_redacted_since_check
from annals.conversations.summary_store import find_current_summary
from annals.database.dynamodb import Item, client, from_item
from annals.database.keys import item_key
from annals.database.state import state_item
from annals.database.transactions import transact
from annals.errors import RequestTooLarge
from annals.formats.tokens import estimate_message
from annals.formats.turns import is_question
from annals.json_text import dump
from annals.ledger.entry import MESSAGE, REDACTION, REWIND, Entry, Tail
from annals.ledger.keys import split_conversation_pk
from annals.ledger.read import walk_readable
from annals.ledger.rewound import Rewound
from annals.ledger.tail import find_last_message
from annals.ledger.versions import current_messages, superseded_seq
from annals.settings import settings
from annals.times import day_of, from_rfc3339, to_rfc3339

logger = logging.getLogger("annals")

VERSION = 2
"""Rises when messages are counted in another way: what was counted in a former one is counted anew."""

BUCKETS_PER_DOUBLING = 8
"""Response times are counted in buckets, eight to a doubling: a percentile is exact within nine per cent."""

TOPICS = 10

MAX_TOPIC_CHARS = 128
"""How long a topic is that is counted, as tags are; what is longer is none."""

PART_SHARE = 0.4
"""How much of an answer's room the figures by participant may take, and those by day: the most frequent, the latest."""


@dataclass
class AnalyticsCounts:
    """The counts of a conversation up to seq ``seq``, under the names by which they are stored.

    Times are Unix milliseconds; ``asked_at`` is when the user's message came that has no reply yet, ``first_at`` when
    the earliest message was said.
    """

    seq: int = 0
    roles: Counter[str] = field(default_factory=Counter)
    participants: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    days: Counter[str] = field(default_factory=Counter)
    topics: Counter[str] = field(default_factory=Counter)
    response_buckets: Counter[str] = field(default_factory=Counter)
    asked_at: int | None = None
    first_at: int | None = None

    def add(self, entry: Entry, rewound: Rewound) -> None:
        """Count an entry's messages, but for those that others supersede, and those that are rewound."""
        if entry.records[0].kind == MESSAGE:
            for message in current_messages(entry.pk, entry, rewound):
                self._add_message(message, entry.at)
        self.seq = entry.last_seq

    def _add_message(self, message: Mapping[str, Any], stored_at: int) -> None:
        role, at = message.get("role", "redacted"), from_rfc3339(message["timestamp"])
        self.roles[role] += 1
        self.tokens[role] += estimate_message(message)
        metadata = message.get("metadata") or {}
        self.topics.update(topic for topic in _words(metadata.get("topics")))
        who = message.get("participantId") or message.get("from") or message.get("userId") or message.get("name")
        if who:
            self.participants[who] += 1
        self.first_at = min(at, stored_at, *(() if self.first_at is None else (self.first_at,)))
        self._add_response(message, at)

    def _add_response(self, message: Mapping[str, Any], at: int) -> None:
        """A turn begins with a user's message; the first reply after it ends the wait."""
        if is_question(message):
            self.days[day_of(message["timestamp"], message.get("localTime"))] += 1
            self.asked_at = at
        elif message.get("role") == "assistant" and self.asked_at is not None:
            self.response_buckets[str(_bucket(max(at - self.asked_at, 0)))] += 1
            self.asked_at = None


def analyse(conversation: OpenConversation) -> Analytics:
    """The analytics of a conversation as it is now."""
    pk = conversation.pk
    version = find_redaction_version(pk)
    stored = _read(pk)
    counted_up_to = stored.seq
    counts = _count_on(stored, pk, conversation.tail)
    if counts.seq > counted_up_to:
        _store(pk, counts, version)
    summary = find_current_summary(pk, conversation.tail)
    newest = find_last_message(pk, conversation.tail)
    return _present(counts, newest.said_at if newest else None, summary.topics if summary else ())


def _count_on(counts: AnalyticsCounts, pk: str, tail: Tail) -> AnalyticsCounts:
    """Count the messages since, up to a tail; all anew where one that was counted may be taken back or superseded."""
    counted_up_to, rewound = counts.seq, Rewound.at(pk, tail)
    for entry in walk_readable(pk, first=counted_up_to + 1, last=tail.seq):
        if counted_up_to and _takes_back(entry):
            return _count_on(AnalyticsCounts(), pk, tail)
        counts.add(entry, rewound)
    return counts


def _takes_back(entry: Entry) -> bool:
    """Whether an entry says of a message before it that it does not count any more."""
    kinds = (REDACTION, REWIND)
    return any(record.kind in kinds or superseded_seq(record) is not None for record in entry.records)


def _store(pk: str, counts: AnalyticsCounts, version: str | None) -> None:
    """Store the counts, unless the conversation was erased, or something of it redacted, since a version was read.

    Counts of so many participants or days that no item has room for them are counted anew each time.
    """
    checks: list[Any] = [not_erased_check(*split_conversation_pk(pk)), not_redacted_since_check(pk, version)]
    try:
        put: Any = {"Put": {"TableName": settings().state_table, "Item": _to_item(pk, counts)}}
        is_stored = transact([*checks, put]) is None
    except RequestTooLarge:
        is_stored = False
    if not is_stored:
        logger.info("The figures of a conversation were not kept")


def _key(pk: str) -> Item:
    return item_key(pk, ANALYTICS)


def _read(pk: str) -> AnalyticsCounts:
    item = client().get_item(TableName=settings().state_table, Key=_key(pk)).get("Item")
    if item is None:
        return AnalyticsCounts()
    stored = json.loads(from_item(item)["figures"])
    if stored.pop("version", 1) != VERSION:
        return AnalyticsCounts()
    values: Any = {name: Counter(value) if isinstance(value, dict) else value for name, value in stored.items()}
    # Earlier versions kept more: when the last message was said is the ledger's to say.
    return AnalyticsCounts(**{each.name: values[each.name] for each in fields(AnalyticsCounts) if each.name in values})


def _to_item(pk: str, counts: AnalyticsCounts) -> Item:
    parts = {"participants": counts.participants, "days": counts.days, "topics": counts.topics}
    return state_item(_key(pk), {"figures": dump({"version": VERSION, **vars(counts)})}, kind="figures", fields=parts)


def _present(counts: AnalyticsCounts, last_message_at: int | None, summarized: Sequence[str]) -> Analytics:
    """The API's analytics. The topics of the summary come first, then those that messages name most often."""
    ranked = dict.fromkeys([*summarized, *_words([topic for topic, _ in counts.topics.most_common(TOPICS)])])
    topics = list(ranked)[:TOPICS]
    participants, participants_omitted = fitting_counted(counts.participants.most_common(), Room(PART_SHARE))
    days, days_omitted = fitting_counted(sorted(counts.days.items(), reverse=True), Room(PART_SHARE))
    left_out = {"byParticipant": participants_omitted, "turnsPerDay": days_omitted}
    omitted = {name: part["omitted"] for name, part in left_out.items() if part}
    return {
        "messageCount": counts.roles.total(),
        "byRole": dict(counts.roles),
        "byParticipant": dict(participants),
        "tokens": {**counts.tokens, "total": counts.tokens.total()},
        "firstMessageAt": to_rfc3339(counts.first_at) if counts.first_at is not None else None,
        "lastMessageAt": to_rfc3339(last_message_at) if last_message_at is not None else None,
        "responseTimeMs": {
            "p50": _percentile(counts.response_buckets, 0.50),
            "p95": _percentile(counts.response_buckets, 0.95),
        },
        "turnsPerDay": dict(sorted(days)),
        "topics": topics,
        **({"omitted": omitted} if omitted else {}),  # type: ignore[typeddict-item]
    }


def _words(value: Any) -> list[str]:
    words = value if isinstance(value, list) else []
    return [each for each in words if isinstance(each, str) and len(each) <= MAX_TOPIC_CHARS]


def _bucket(ms: int) -> int:
    """The position of a time on a scale of powers of two, in eighths; of less than 1 ms it is -1."""
    return math.floor(math.log2(ms) * BUCKETS_PER_DOUBLING) if ms else -1


def _upper(bucket: int) -> int:
    """The end of a bucket, in milliseconds."""
    return 0 if bucket < 0 else round(2 ** ((bucket + 1) / BUCKETS_PER_DOUBLING))


def _percentile(buckets: Counter[str], share: float) -> int | None:
    """The time below which a share of the responses came, in milliseconds; None where there were none."""
    left = share * buckets.total()
    for bucket in sorted(buckets, key=int):
        left -= buckets[bucket]
        if left <= 0:
            return _upper(int(bucket))
    return None
