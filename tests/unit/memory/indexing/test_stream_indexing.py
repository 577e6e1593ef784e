"""The index function's time: a batch that is too much for it is worked off in several goes, nothing of it twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from annals.errors import ConfigurationError
from annals.ledger.keys import conversation_pk, entry_sk
from annals.memory import adapters
from annals.memory.indexing import stream_indexing
from annals.providers.offline_embedding import OfflineEmbedder
from annals.settings import Settings
from local.workers import Context
from tests.conftest import Setting
from tests.support.api import Api
from tests.support.indexing import embedded_index
from tests.support.stack import function

MESSAGES = 100
TIMEOUT_S = 180

pytestmark = pytest.mark.usefixtures("moto")


class SlowEmbedder(OfflineEmbedder):
    """Takes five seconds for each text, by a clock of its own."""

    def __init__(self) -> None:
        self.now = 0.0
        self.embedded: list[str] = []

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        self.now += 5.0 * len(texts)
        self.embedded += texts
        return super().embed(texts)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowEmbedder]:
    """The slow model, and an index."""
    slow = SlowEmbedder()
    with embedded_index(tmp_path), monkeypatch.context() as patch:
        patch.setattr(adapters, "embedder", lambda: slow)
        patch.setattr(stream_indexing, "time", SimpleNamespace(monotonic=lambda: slow.now))
        yield slow


def batch(api: Api, *names: str) -> dict[str, Any]:
    """A batch of the ledger's stream: messages of some conversations, in turns."""
    for name in names:
        people = {"userId": "ada", "memorySpaceId": "home"}
        created = {"type": "user-agent", "conversationId": name, "participants": people}
        assert api.post("/v1/conversations", created).status == 201
        for number in range(MESSAGES // len(names)):
            message = {"role": "user", "content": f"number {number} of {name}"}
            assert api.post(f"/v1/conversations/{name}/messages", message).status == 201
    keys = [
        (conversation_pk(api.caller.tenant, name), seq)
        for seq in range(1, MESSAGES // len(names) + 1)
        for name in names
    ]
    return {
        "Records": [
            {"dynamodb": {"Keys": {"pk": {"S": pk}, "sk": {"S": entry_sk(seq)}}, "SequenceNumber": str(number)}}
            for number, (pk, seq) in enumerate(keys)
        ]
    }


@pytest.mark.parametrize("names", [("one",), ("one", "two", "three", "four", "five")])
def test_a_batch_for_a_slow_model_is_worked_off_in_several_goes_within_the_timeout(
    api: Api, model: SlowEmbedder, names: tuple[str, ...]
) -> None:
    event, goes, failures = batch(api, *names), 0, True
    while failures:
        began = model.now
        failures = function("index").handler(event, Context("index"))["batchItemFailures"]
        goes += 1
        assert model.now - began <= TIMEOUT_S
        assert goes < 50
    assert goes > 5
    assert len(model.embedded) == len(set(model.embedded))
    found = api.post("/v1/memory/search", {"query": "number", "memorySpaceId": "home", "limit": 1000}).json["items"]
    assert len(found) == MESSAGES


def test_windows_are_embedded_unless_the_setting_says_no(api: Api, model: SlowEmbedder, setting: Setting) -> None:
    function("index").handler(batch(api, "with"), Context("index"))
    assert any("\n" in text for text in model.embedded)
    model.embedded.clear()
    setting("EMBED_WINDOWS", "false")
    function("index").handler(batch(api, "without"), Context("index"))
    assert model.embedded
    assert not any("\n" in text for text in model.embedded)


def test_a_switch_that_is_neither_on_nor_off_is_named() -> None:
    with pytest.raises(ConfigurationError, match="EMBED_WINDOWS must be true or false"):
        Settings.from_env({"EMBED_WINDOWS": "perhaps"})
