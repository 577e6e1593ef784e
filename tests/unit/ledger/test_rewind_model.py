"""Rewinds and appends in any order: what is read is what a list would hold that forgets what is taken back."""

from __future__ import annotations

import random

import pytest

from annals.ledger.append import NewRecord
from annals.ledger.entry import Tail
from annals.ledger.history import MessageRange, read_page
from annals.ledger.marks import add_preamble
from annals.ledger.message_append import append_messages
from annals.ledger.messages import new_message
from annals.ledger.rewind import RewindTarget, rewind
from annals.ledger.rewound import MAX_SPANS
from annals.ledger.runs import last_runs
from annals.ledger.tail import read_tail
from tests.support.ledgers import new_conversation, verify_stored

pytestmark = pytest.mark.usefixtures("moto")

Shown = list[tuple[int, str]]
"""What is left: the seq of each message's place, and its text."""


class Model:
    """A conversation, and what a list would hold of it."""

    def __init__(self, tenant: str, seed: int) -> None:
        self.tenant, self.random = tenant, random.Random(seed)  # noqa: S311 - not a secret
        self.pk = new_conversation(tenant)
        self.left: Shown = []
        self.incomplete: dict[int, int] = {}  # the newest version of each incomplete message, by its place

    def step(self) -> None:
        act = self.random.choice(
            [self.say, self.say, self.say, self.complete, self.pop, self.pop, self.go_back, self.mark]
        )
        act()

    def say(self) -> None:
        texts = [f"{self.random.random()}" for _ in range(self.random.randint(1, 4))]
        parts = [self.random.random() < 0.3 for _ in texts]
        status = [{"status": "incomplete"} if part else {} for part in parts]
        records = [
            new_message({"role": "user", "content": text, **more}) for text, more in zip(texts, status, strict=True)
        ]
        seq = self.append(records)
        for offset, (text, part) in enumerate(zip(texts, parts, strict=True)):
            self.left.append((seq + offset, text))
            if part:
                self.incomplete[seq + offset] = seq + offset

    def complete(self) -> None:
        if self.incomplete:
            place = self.random.choice([*self.incomplete])
            text, again = f"whole {self.random.random()}", self.random.random() < 0.3
            body = {"role": "user", "content": text, "supersedes": f"msg-{self.incomplete[place]:03d}"}
            seq = self.append([new_message({**body, "status": "incomplete"} if again else body)])
            self.left = [(each, text if each == place else said) for each, said in self.left]
            if again:
                self.incomplete[place] = seq
            else:
                del self.incomplete[place]

    def append(self, records: list[NewRecord]) -> int:
        return append_messages(self.tenant, "conv-1", records).entry.seq

    def pop(self) -> None:
        number = self.random.randint(1, 3)
        done = rewind(self.tenant, "conv-1", RewindTarget(messages=number), "key-1")
        assert [message["content"] for message in done.removed] == [text for _, text in self.left[-number:]]
        self.forget(self.left[-number][0] if len(self.left) >= number else 1)

    def go_back(self) -> None:
        if self.random.random() < 0.8:
            return
        seq = self.random.randint(0, self.tail.seq)
        rewind(self.tenant, "conv-1", RewindTarget(seq=seq), "key-1")
        self.forget(seq + 1)

    def mark(self) -> None:
        if self.random.random() < 0.2:
            add_preamble(self.tenant, "conv-1", "What came before.", None)

    def forget(self, first: int) -> None:
        self.left = [each for each in self.left if each[0] < first]
        self.incomplete = {place: seq for place, seq in self.incomplete.items() if place < first}

    @property
    def tail(self) -> Tail:
        tail = read_tail(self.pk)
        assert tail
        return tail

    def check(self) -> None:
        expected = [text for _, text in self.left]
        limit = self.random.choice([1, 2, 5, 100])
        assert self.read(MessageRange(forward=True, after=0), limit) == expected
        assert self.read(MessageRange(newest_first=True, after=0), limit) == expected[::-1]
        assert self.read(MessageRange(forward=True, after=0, offset=2), limit) == expected[2:]
        newest, _ = last_runs(self.pk, self.tail, 3)
        assert [message["content"] for message in newest] == expected[-3:]

    def read(self, message_range: MessageRange, limit: int) -> list[str]:
        texts: list[str] = []
        tail = self.tail
        while True:
            page = read_page(self.pk, tail, message_range, limit)
            texts += [message["content"] for message in page.messages]
            if page.next_seq is None:
                return texts
            forward = message_range.forward
            message_range = MessageRange(
                forward=forward,
                newest_first=message_range.newest_first,
                after=page.next_seq if forward else message_range.after,
                before=message_range.before if forward else page.next_seq,
                offset=page.offset,
                list_after=0,
            )


@pytest.mark.parametrize("seed", range(3))
def test_readers_get_what_a_list_would_hold(tenant: str, seed: int) -> None:
    model = Model(tenant, seed)
    for step in range(50):
        model.step()
        if step % 8 == 0:
            model.check()
    model.check()
    assert verify_stored(model.pk).valid


def test_readers_get_what_a_list_would_hold_after_more_rewinds_than_one_record_lists(tenant: str) -> None:
    model = Model(tenant, 7)
    for _ in range(3 * MAX_SPANS):
        model.say()
        model.pop()
        model.say()
    model.check()
    rewind(tenant, "conv-1", RewindTarget(seq=20), "key-1")
    model.forget(21)
    model.say()
    model.check()
    assert verify_stored(model.pk).valid
