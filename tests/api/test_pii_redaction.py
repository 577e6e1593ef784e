"""Personal data is stored nowhere, whichever way it comes; and without a detector nothing is stored at all."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from annals.access.caller import Caller
from annals.database.dynamodb import client, from_item
from annals.errors import ConfigurationError, PiiUnavailable
from annals.ingest.envelope import parse_envelope
from annals.ingest.storing import store_envelope
from annals.ledger.entry_items import from_ledger_item
from annals.ledger.idempotency import IdempotentRequest
from annals.memory import adapters
from annals.memory.facts.extraction import get_extractor
from annals.memory.models import Remember
from annals.memory.remember import remember
from annals.memory.summarizers import get_summarizer
from annals.privacy import masking
from annals.privacy.detection import PiiMatch
from annals.privacy.patterns import PatternDetector
from annals.settings import Settings, settings
from local.template import ROOT
from scripts.events import CALLER, samples
from tests.conftest import Setting
from tests.support import stack
from tests.support.api import Api, Reply
from tests.support.echo import events_of, streaming

ADDRESS = "ada@example.org"
CARD = "4111 1111 1111 1111"
PRIVATE = f"{ADDRESS}, {CARD}"
LABELS = "[EMAIL], [CREDIT_DEBIT_NUMBER]"

SPOKEN_FIELDS = {
    "agentResponse", "content", "fact", "input", "memory", "metadata", "object", "parts", "query", "reason", "subject",
    "text", "userMessage",
}  # fmt: skip
"""The fields that hold what people say."""

WRITES = {
    name: event
    for name, event in samples()
    if event.get("body") and event.get("httpMethod") in ("POST", "PUT", "PATCH") and not name.startswith("keys-")
}
SPEAKING = [
    name
    for name, event in WRITES.items()
    if not name.startswith("remember_stream-") and SPOKEN_FIELDS & set(str(event["body"]).replace('"', " ").split())
]
"""The samples in which something is said; what is streamed has a test of its own."""


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tables, an index and models; personal data is replaced."""
    with stack.on_moto(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMBEDDED_INDEX", str(tmp_path_factory.mktemp("index") / "index.sqlite3"))
        for name, value in {"EMBEDDINGS_URL": "offline", "CHAT_URL": "offline", "PII_REDACTION": "patterns"}.items():
            patch.setenv(name, value)
        stack.forget()
        masking.get_detector.cache_clear()
        yield
    masking.get_detector.cache_clear()
    for port in (adapters.index, adapters.embedder, adapters.chat, get_summarizer, get_extractor):
        port.cache_clear()


@pytest.fixture
def private(functions: None, tenant: str) -> Api:
    """A client of a tenant that has the conversation of the samples."""
    caller = replace(Caller.from_authorizer(CALLER), tenant=tenant)
    turn = {"memorySpaceId": "demo", "conversationId": "lisbon", "userId": "ada", "userMessage": "a"}
    remember(caller, Remember.model_validate({**turn, "agentResponse": "b"}))
    return Api(caller)


class NoDetector:
    """A detector that is unavailable."""

    def detect(self, texts: Sequence[str]) -> list[list[PiiMatch]]:
        raise PiiUnavailable


@pytest.fixture
def no_detector(private: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking, "get_detector", NoDetector)


def spoken(value: Any, inside: bool = False) -> Any:
    """The same with personal data in every field that holds what people say."""
    if isinstance(value, dict):
        return {name: spoken(each, inside or name in SPOKEN_FIELDS) for name, each in value.items()}
    if isinstance(value, list):
        return [spoken(each, inside) for each in value]
    return f"{value} {PRIVATE}" if inside and isinstance(value, str) else value


def spoken_body(name: str) -> Any:
    body = spoken(json.loads(WRITES[name]["body"]))
    more = {"metadata": {"note": PRIVATE, "deep": [{"note": PRIVATE}]}}
    takes_metadata = name.split("-", 1)[1] in ("append", "create", "remember", "remember-stream", "preamble", "send")
    return {**body, **more} if takes_metadata and not name.startswith("facts") else body


def send(api: Api, name: str) -> Reply:
    event = WRITES[name]
    query = "&".join(f"{each}={value}" for each, value in (event["queryStringParameters"] or {}).items())
    return api.send(event["httpMethod"], f"{event['path']}?{query}" if query else event["path"], spoken_body(name))


def stored() -> str:
    """Everything in both tables, inflated."""
    items = []
    for table in (settings().ledger_table, settings().state_table):
        for page in client().get_paginator("scan").paginate(TableName=table):
            items += page["Items"]
    entries = [str(from_ledger_item(item).records) for item in items if item["sk"]["S"].startswith("E#")]
    return "\n".join(entries + [str(from_item(item)) for item in items])


@pytest.mark.parametrize("name", SPEAKING)
def test_personal_data_that_is_said_is_in_no_table(private: Api, name: str) -> None:
    answer = send(private, name)
    assert answer.status < 500, answer.body
    table_items = stored()
    assert ADDRESS not in table_items
    assert CARD not in table_items


@pytest.mark.usefixtures("no_detector")
@pytest.mark.parametrize("name", [name for name in SPEAKING if "search" not in name and "recall" not in name])
def test_without_a_detector_nothing_is_stored(private: Api, name: str) -> None:
    before = stored()
    assert send(private, name).problem[:2] == (503, "PII_DETECTION_UNAVAILABLE")
    assert stored() == before


def test_what_is_stored_has_labels_and_the_rest_of_what_was_said(private: Api) -> None:
    parts = [{"type": "text", "text": f"to {PRIVATE}", "n": 1}]
    payload = {"role": "user", "content": f"Write to {PRIVATE}!", "parts": parts, "metadata": {"cc": ADDRESS}}
    (message,) = private.post("/v1/conversations/lisbon/messages", payload).json["messages"]
    assert message["content"] == f"Write to {LABELS}!"
    assert message["parts"] == [{"type": "text", "text": f"to {LABELS}", "n": 1}]
    assert message["metadata"] == {"cc": "[EMAIL]"}
    assert private.get("/v1/conversations/lisbon/verify").json["valid"]


def test_ids_and_names_are_not_looked_at(private: Api) -> None:
    payload = {"role": "user", "content": "x", "userId": "bob@example.org", "name": "bob@example.org"}
    (message,) = private.post("/v1/conversations/lisbon/messages", payload).json["messages"]
    assert (message["userId"], message["name"]) == ("bob@example.org", "bob@example.org")


def test_a_retry_is_known_by_what_was_sent(private: Api) -> None:
    path = "/v1/conversations/lisbon/messages"
    first = private.post(path, {"role": "user", "content": ADDRESS}, idempotency_key="k")
    again = private.post(path, {"role": "user", "content": ADDRESS}, idempotency_key="k")
    other = private.post(path, {"role": "user", "content": "bob@example.org"}, idempotency_key="k")
    assert again.json == first.json
    assert other.problem[:2] == (409, "IDEMPOTENCY_KEY_REUSED")


def test_a_file_that_was_imported_is_known_again(private: Api) -> None:
    lines = {"messages": [{"role": "user", "content": PRIVATE}], "about": ADDRESS}
    path = "/v1/conversations/import?memorySpaceId=demo&userId=ada"
    first, again = private.post(path, lines).json, private.post(path, lines).json
    assert (first["conversations"][0]["imported"], again["conversations"][0]["skipped"]) == (1, 1)
    assert ADDRESS not in stored()


def test_events_are_stored_without_personal_data(private: Api) -> None:
    payload = {"conversation": {"conversationId": "lisbon"}, "messages": [{"role": "user", "content": PRIVATE}]}
    tenant = private.caller.tenant
    store_envelope(private.caller, parse_envelope(payload), IdempotentRequest.of(tenant, "ingest", "k"))
    newest = private.get("/v1/conversations/lisbon/messages").json["items"][-1]
    assert newest["content"] == LABELS
    assert ADDRESS not in stored()


def test_a_streamed_reply_reaches_the_client_as_it_is_and_is_stored_without_personal_data(private: Api) -> None:
    turn = {**TURN, "userMessage": f"My address is {ADDRESS}."}
    with streaming(private) as app:
        events = events_of(app.post(STREAM, json=turn))
    start, result = events[0][1], events[-1][1]
    assert [data["text"] for name, data in events if name == "delta"] == ["You said: ", turn["userMessage"]]
    assert start["message"]["content"] == "My address is [EMAIL]."
    assert result["fullResponse"] == "You said: My address is [EMAIL]."
    assert ADDRESS not in json.dumps([start, result])
    assert ADDRESS not in stored()


def test_who_comes_back_to_a_streamed_reply_gets_it_without_personal_data(private: Api) -> None:
    with streaming(private) as app:
        first = events_of(app.post(STREAM, json={**TURN, "userMessage": ADDRESS}))
        again = events_of(app.get(f"{STREAM}/{first[0][1]['streamId']}"))
    assert [name for name, _ in again] == ["start", "context", "result"]
    assert again[-1][1]["fullResponse"] == "You said: [EMAIL]"
    assert ADDRESS not in json.dumps(again)


def test_a_reply_that_cannot_be_looked_through_is_not_stored(private: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking, "get_detector", lambda: OnceDetector(texts_seen))
    texts_seen: list[str] = []
    with streaming(private) as app:
        events = events_of(app.post(STREAM, json={**TURN, "userMessage": ADDRESS}))
    name, problem = events[-1]
    assert (name, problem["code"]) == ("error", "PII_DETECTION_UNAVAILABLE")
    conversation = f"/v1/conversations/{events[0][1]['conversationId']}/messages"
    assert [message["content"] for message in private.get(conversation).json["items"]] == ["[EMAIL]"]
    assert ADDRESS not in stored()


class OnceDetector(PatternDetector):
    """A detector that is unavailable after its first call, which is for the user's message."""

    def __init__(self, texts_seen: list[str]) -> None:
        self._texts = texts_seen

    def detect(self, texts: Sequence[str]) -> list[list[PiiMatch]]:
        if self._texts:
            raise PiiUnavailable
        self._texts.extend(texts)
        return super().detect(texts)


STREAM = "/v1/memory/remember-stream"
TURN = {"memorySpaceId": "demo", "userId": "ada"}


def test_off_nothing_is_replaced_and_nothing_imported(private: Api, setting: Setting) -> None:
    setting("PII_REDACTION", "off")
    assert masking.mask(PRIVATE) is PRIVATE
    code = (
        "import sys, annals.conversations.message_models; print(*(name for name in sys.modules if 'privacy' in name))"
    )
    env = {"PYTHONPATH": str(ROOT / "layers/annals")}
    done = subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True)  # noqa: S603
    assert not [name for name in done.stdout.split() if name not in {"annals.privacy", "annals.privacy.masking"}]


def test_a_setting_that_names_no_detector_stops_the_start() -> None:
    with pytest.raises(ConfigurationError, match="PII_REDACTION"):
        Settings.from_env({"PII_REDACTION": "on"})
