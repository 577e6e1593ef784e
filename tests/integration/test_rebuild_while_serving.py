"""The index is rebuilt beside the one in service, while everybody goes on writing: embedded, and a real OpenSearch."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from annals.cli import rebuilding
from annals.cli.main import main
from annals.ledger.keys import conversation_pk
from annals.memory import adapters
from annals.memory.indexing import table_scan
from annals.memory.indexing.drift import find_drift
from annals.memory.indexing.indexer import IndexTarget, index_entries
from annals.operations import rebuild
from annals.providers.offline_embedding import OfflineEmbedder
from annals.search import from_settings
from annals.search.documents import Document
from annals.settings import Settings, settings
from local.emulator import Emulator
from tests.support.api import Api
from tests.support.searching import followed, forget, index_in_settings, wait_for
from tests.support.stack import on_emulator


class CountingEmbedder(OfflineEmbedder):
    """Knows what it was asked; ``before`` is done whenever it is."""

    def __init__(self, before: Callable[[], object] = lambda: None) -> None:
        self.embedded: list[str] = []
        self._before = before

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        self._before()
        self.embedded += texts
        return super().embed(texts)


@pytest.fixture(params=["embedded", pytest.param("opensearch", marks=pytest.mark.opensearch)])
def service(
    request: pytest.FixtureRequest,
    running_emulator: Emulator,
    tmp_path: Path,
    api: Api,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Api]:
    """A tenant whose conversations the index follows: ten of them, ``talk-0`` and on, with three messages each."""
    url = request.getfixturevalue("opensearch_url") if request.param == "opensearch" else ""
    monkeypatch.setattr(rebuilding, "LAG_S", 0.2)
    with (
        on_emulator(running_emulator),
        index_in_settings(tmp_path, url),
        followed(running_emulator, tmp_path / "streams"),
    ):
        for number in range(10):
            make(api, f"talk-{number}")
        wait_for(lambda: len(found(api, "common")) == 30)
        yield api


def make(api: Api, name: str) -> None:
    people = {"userId": "ada", "memorySpaceId": "home"}
    created = {"type": "user-agent", "conversationId": name, "participants": people}
    assert api.post("/v1/conversations", created).status == 201
    for number in range(3):
        say(api, name, f"common word-{number} of {name}")


def say(api: Api, name: str, text: str) -> None:
    assert api.post(f"/v1/conversations/{name}/messages", {"role": "user", "content": text}).status == 201


def found(api: Api, query: str) -> set[str]:
    adapters.index().refresh()
    answer = api.post("/v1/memory/search", {"query": query, "memorySpaceId": "home", "limit": 1000})
    assert answer.status == 200, answer.body
    return {hit["memoryId"] for hit in answer.json["items"]}


def nothing(_: int) -> None:
    """Nobody watches the progress."""


def off(*, repair: bool = False) -> dict[str, int]:
    return find_drift(adapters.index(), adapters.embedder(), nothing, repair=repair, lag_s=0.2).counts


NOTHING = {"missing": 0, "stale": 0, "orphaned": 0}


def test_what_is_written_withdrawn_and_erased_during_a_rebuild_is_so_after_it(service: Api) -> None:
    """The writes come between the spans of the rebuild: before some conversations are read, behind others."""
    steps = iter(range(1000))

    def write(_: int) -> None:
        step = next(steps)
        assert len(found(service, "common")) >= 30 - 4 * step, "the index in service answers all the while"
        if step < 3:
            say(service, f"talk-{step}", f"newcomer {step}")
            say(service, f"talk-{9 - step}", f"newcomer {9 - step}")
            assert service.post(f"/v1/conversations/talk-{step}/messages/msg-001/redact", {"reason": "r"}).status == 200
            assert service.delete(f"/v1/conversations/talk-{3 + step}").status == 200

    rebuild.rebuild_index(adapters.index(), adapters.embedder(), write)
    gone = {f"mem:talk-{number}:1" for number in range(3)}
    gone |= {f"mem:talk-{3 + number}:{seq}" for number in range(3) for seq in (1, 2, 3)}
    assert found(service, "common") & gone == set()
    wait_for(lambda: len(found(service, "newcomer")) == 6)
    assert len(found(service, "common")) == 30 - 3 - 9 + 6, "newcomers are found by the words before them"
    wait_for(lambda: off() == NOTHING)


def test_what_is_withdrawn_while_it_is_embedded_does_not_come_back(service: Api) -> None:
    """The index function has cleared the index of it before the text, read earlier, is written."""
    say(service, "talk-0", "the password is xylophone")
    wait_for(lambda: found(service, "xylophone") == {"mem:talk-0:4"})
    redacted = iter([True])

    def redact() -> None:
        if next(redacted, False):
            assert service.post("/v1/conversations/talk-0/messages/msg-004/redact", {"reason": "r"}).status == 200
            wait_for(lambda: found(service, "xylophone") == set())

    pk = conversation_pk(service.caller.tenant, "talk-0")
    embedder = CountingEmbedder(redact)
    adapters.index().delete(service.caller.tenant, [f"mem:talk-0:{seq}" for seq in (1, 2, 3, 4)])
    index_entries(IndexTarget(adapters.index(), embedder), pk, 1, 4)
    assert any("xylophone" in text for text in embedder.embedded)
    assert found(service, "xylophone") == set()
    assert found(service, "talk") >= {f"mem:talk-0:{seq}" for seq in (1, 2, 3)}


def test_a_rebuild_with_the_same_model_embeds_nothing(service: Api) -> None:
    embedder = CountingEmbedder()
    rebuilt = rebuild.rebuild_index(adapters.index(), embedder, nothing)
    assert rebuilt.items >= 30
    assert embedder.embedded == []
    assert len(found(service, "common")) == 30
    assert off() == NOTHING


def test_an_interrupted_rebuild_goes_on_where_it_was(service: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_scan, "PAGE_SIZE", 10)
    whole, first, second = [0], [0], [0]
    rebuild.build_index(adapters.index(), adapters.embedder(), lambda items: whole.append(items))
    adapters.index().drop_next()

    def interrupt(items: int) -> None:
        first.append(items)
        if sum(first) > sum(whole) / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rebuild.build_index(adapters.index(), adapters.embedder(), interrupt)
    assert len(found(service, "common")) == 30
    forget()
    rebuild.build_index(adapters.index(), adapters.embedder(), lambda items: second.append(items))
    assert sum(whole) <= sum(first) + sum(second) <= sum(whole) + table_scan.PAGE_SIZE
    new = adapters.index().find_next()
    assert new is not None
    adapters.index().switch_to(new)
    assert off() == NOTHING


def test_drift_is_counted_told_and_repaired(service: Api, capsys: pytest.CaptureFixture[str]) -> None:
    tenant, index = service.caller.tenant, adapters.index()
    (document,) = [each for each in derived(tenant) if each.memory_id == "mem:talk-1:1"]
    index.delete(tenant, ["mem:talk-0:1", "mem:talk-0:2"])
    index.upsert([(document, "older")])
    orphans = ["mem:never-there:7", "mem:talk-2:99", "no-memory", "fact-none"]
    index.upsert(
        [
            (Document(tenant=tenant, memory_id=name, memory_space_id="home", content="lost", at=0), "x")
            for name in orphans
        ]
    )
    assert off() == {"missing": 2, "stale": 1, "orphaned": 4}

    assert main(["drift", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report == {"documents": 32, "missing": 2, "stale": 1, "orphaned": 4, "failed": 0}
    assert main(["drift"]) == 1
    assert "missing           2  mem:talk-0:1 mem:talk-0:2\n" in capsys.readouterr().out

    assert main(["drift", "--repair"]) == 0
    assert main(["drift", "--json"]) == 0
    assert len(found(service, "common")) == 30
    assert found(service, "lost") == set()


def derived(tenant: str) -> Iterator[Document]:
    """All documents that follow from the tables."""
    for page in table_scan.walk_tables():
        for table_range in page.ranges:
            yield from (document for document in table_range.project().documents if document.tenant == tenant)


def test_the_command_rebuilds_heads_and_index(service: Api, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rebuild", "heads"]) == 0
    assert main(["rebuild", "index"]) == 0
    progress = capsys.readouterr().out
    assert "the new index is in service" in progress
    assert "missing           0\n" in progress
    assert len(found(service, "common")) == 30


def test_another_model_gets_an_index_of_another_name_and_words_are_withdrawn_from_both(
    service: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    served = settings().embedded_index or settings().opensearch_index
    another = CountingEmbedder()
    another.model = "another"
    with monkeypatch.context() as patch:
        patch.setattr(adapters, "embedder", lambda: another)
        assert main(["rebuild", "index"]) == 1
        assert "EMBEDDINGS_MODEL" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setenv("EMBEDDED_INDEX" if settings().embedded_index else "OPENSEARCH_INDEX", f"{served}-another")
        successor = from_settings(Settings.from_env(os.environ))
    rebuild.build_index(successor, another, nothing, beside=served)
    assert another.embedded

    assert service.post("/v1/conversations/talk-0/messages/msg-001/redact", {"reason": "r"}).status == 200
    new = successor.find_next()
    assert new is not None
    wait_for(lambda: "mem:talk-0:1" not in new.find_fingerprints(service.caller.tenant, ["mem:talk-0:1"]))
    assert len(found(service, "common")) == 29
    successor.switch_to(new)
    assert find_drift(successor, another, nothing, lag_s=0).counts["orphaned"] == 0
    successor.drop()
