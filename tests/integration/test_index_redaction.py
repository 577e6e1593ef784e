"""What is redacted leaves the search index, its neighbours' windows too."""

from __future__ import annotations

from pathlib import Path

import pytest

from annals.conversations.create import NewConversation, create
from annals.ledger.append import append
from annals.ledger.keys import conversation_pk
from annals.ledger.messages import new_message
from annals.ledger.redact import redact
from annals.memory.indexing.indexer import IndexTarget, index_entries
from annals.providers.offline_embedding import OfflineEmbedder
from annals.search import Scope, SearchRequest, search
from annals.search.embedded.index import EmbeddedIndex

pytestmark = pytest.mark.usefixtures("ministack")


def test_a_redacted_word_is_found_nowhere_any_more(tenant: str, tmp_path: Path) -> None:
    index, embedder = EmbeddedIndex(str(tmp_path / "index.sqlite3")), OfflineEmbedder()
    new = NewConversation("user-agent", {"userId": "ada", "memorySpaceId": "home"}, {}, "chat")
    create(tenant, new, "tests")
    for text in ("My password is xylophone.", "Please keep it to yourself.", "Anything else?"):
        append(tenant, "chat", [new_message({"role": "user", "content": text})])
    pk = conversation_pk(tenant, "chat")
    index_entries(IndexTarget(index, embedder), pk, 1, 3)

    def found() -> list[str]:
        request = SearchRequest(scope=Scope(tenant=tenant), query="xylophone")
        return [hit.document.memory_id for hit in search(index, embedder, request)]

    assert found() == ["mem:chat:1", "mem:chat:2", "mem:chat:3"]

    redact(tenant, "chat", [1], "a secret", "tests")
    index_entries(IndexTarget(index, embedder), pk, 1, 1)

    assert found() == []
