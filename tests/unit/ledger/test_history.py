"""Histories: every page that can be asked for is the part of the conversation that it should be."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annals.ledger.append import NewRecord, append
from annals.ledger.messages import new_message
from annals.settings import settings as annals_settings
from tests.conftest import Setting
from tests.support.api import Api
from tests.support.ledgers import new_conversation

TENANT = "histories"
ROLES = ("user", "assistant", "tool")

SHAPES = {
    "empty": [],
    "single messages": [1] * 9,
    "batches": [3, 1, 4, 1, 5],
    "one batch": [7],
    "with other records": [2, 0, 0, 3, 1, 0, 2, 0],
}
"""Conversations, as the sizes of the batches that were appended; 0 is a record that is no message."""


@dataclass(frozen=True)
class SentMessage:
    seq: int
    role: str


@dataclass(frozen=True)
class Question:
    """The parameters of a history, and what a plain list says that the answer is."""

    limit: int
    order: str | None
    offset: int
    after: int | None
    before: int | None
    role: str | None

    @property
    def query(self) -> dict[str, str | int]:
        named = {
            "limit": self.limit,
            "order": self.order,
            "offset": self.offset or None,
            "after": self.after,
            "before": self.before,
            "roles": self.role,
        }
        return {name: value for name, value in named.items() if value is not None}

    @property
    def is_forward(self) -> bool:
        return self.order == "asc" or (self.order is None and self.after is not None)

    def pages(self, sent: list[SentMessage]) -> list[list[int]]:
        inside = [
            message.seq
            for message in sent
            if message.seq > (self.after or 0)
            and (self.before is None or message.seq < self.before)
            and self.role in (None, message.role)
        ]
        in_order = (inside if self.is_forward else inside[::-1])[self.offset :]
        pages = [in_order[start : start + self.limit] for start in range(0, len(in_order), self.limit)] or [[]]
        return pages if self.is_forward or self.order == "desc" else [page[::-1] for page in pages]


questions = st.builds(
    Question,
    limit=st.integers(1, 6) | st.just(1000),
    order=st.sampled_from([None, "asc", "desc"]),
    offset=st.just(0) | st.integers(0, 12),
    after=st.none() | st.integers(0, 16),
    before=st.none() | st.integers(0, 16),
    role=st.none() | st.sampled_from(ROLES),
)


@pytest.fixture(scope="module")
def conversations(module_moto: None) -> dict[str, list[SentMessage]]:
    return {name: _tell(name.replace(" ", "-"), sizes) for name, sizes in SHAPES.items()}


def _tell(conversation_id: str, sizes: list[int]) -> list[SentMessage]:
    new_conversation(TENANT, conversation_id)
    sent: list[SentMessage] = []
    for size in sizes:
        records = [
            new_message({"role": ROLES[(len(sent) + position) % 3], "content": "word " * (len(sent) + position)})
            for position in range(size)
        ]
        entry = append(TENANT, conversation_id, records or [NewRecord("note", b"{}")]).entry
        sent += [SentMessage(entry.seq + position, ROLES[(len(sent) + position) % 3]) for position in range(size)]
    return sent


def _follow(name: str, query: dict[str, str | int]) -> list[list[int]]:
    """The seqs of a history's pages, from the first to the one without a cursor."""
    pages = []
    same = {name: value for name, value in query.items() if name in ("limit", "roles")}
    while True:
        path = f"/v1/conversations/{name.replace(' ', '-')}/messages?{urlencode(query)}"
        response = Api.of(TENANT).get(path).json
        pages.append([message["seq"] for message in response["items"]])
        if "nextCursor" not in response:
            return pages
        query = {**same, "cursor": response["nextCursor"]}
        assert len(pages) < 100


@pytest.mark.parametrize("name", SHAPES)
@settings(max_examples=12)
@given(question=questions)
def test_pages_are_those_of_a_plain_list(
    conversations: dict[str, list[SentMessage]], name: str, question: Question
) -> None:
    assert _follow(name, question.query) == question.pages(conversations[name])


@settings(max_examples=15)
@given(question=questions)
def test_pages_cut_short_by_their_size_leave_nothing_out(
    conversations: dict[str, list[SentMessage]], question: Question
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAX_PAGE_BYTES", "60")
        annals_settings.cache_clear()
        pages = _follow("batches", question.query)
    annals_settings.cache_clear()
    in_order = [page if question.is_forward or question.order == "desc" else page[::-1] for page in pages]
    whole = Question(1000, question.order, question.offset, question.after, question.before, question.role)
    (expected,) = whole.pages(conversations["batches"])
    reached = [seq for page in in_order for seq in page]
    assert reached == (expected if question.is_forward or question.order == "desc" else expected[::-1])


@pytest.mark.usefixtures("conversations")
def test_a_page_ends_at_its_size(setting: Setting) -> None:
    setting("MAX_PAGE_BYTES", "1")
    assert _follow("single messages", {"order": "asc"})[:9] == [[seq] for seq in range(1, 10)]
