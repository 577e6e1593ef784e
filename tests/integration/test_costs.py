"""What a request cost, told in its answer when asked, as a database counts it that bills by it."""

from __future__ import annotations

import re

import pytest

from annals import costs
from annals.cli.costing import Units
from annals.conversations.heads import project_head
from annals.ledger.keys import conversation_pk
from annals.ledger.tail import tails
from annals.providers.openai_embedding import OpenAIEmbedder
from annals.secret import ApiKey
from tests.fakes.embedding_server import EmbeddingServer
from tests.fakes.servers import serving
from tests.support.api import Api

pytestmark = pytest.mark.usefixtures("ministack")

ASKED = {"x_annals_cost": "1"}
MESSAGE = {"role": "user", "content": "hello"}


@pytest.fixture
def path(api: Api) -> str:
    """The path of a new conversation's messages."""
    people = {"userId": "ada", "memorySpaceId": "home"}
    made = api.post("/v1/conversations", {"type": "user-agent", "participants": people}).json
    return f"/v1/conversations/{made['conversationId']}/messages"


def units(cost: str) -> tuple[float, float, int]:
    """Write units, read units and tokens of a receipt."""
    found = re.fullmatch(r"wcu=([\d.]+), rcu=([\d.]+), embedTokens=(\d+)", cost)
    assert found, cost
    return float(found[1]), float(found[2]), int(found[3])


def test_an_append_costs_one_write_unit(api: Api, path: str) -> None:
    cost = api.post(path, MESSAGE, **ASKED).headers["x-annals-cost"]
    assert units(cost)[0] == 1


def test_an_append_with_a_key_of_its_own_costs_the_transactions_units(api: Api, path: str) -> None:
    cost = api.post(path, MESSAGE, idempotency_key="once", **ASKED).headers["x-annals-cost"]
    assert units(cost)[0] == 4


def test_the_calculator_reckons_with_what_a_turn_costs(api: Api) -> None:
    people = {"userId": "ada", "agentId": "bot", "memorySpaceId": "home"}
    made = api.post("/v1/conversations", {"type": "user-agent", "participants": people}).json["conversationId"]
    path, assumed = f"/v1/conversations/{made}/messages", Units()
    tails.forget(conversation_pk(api.caller.tenant, made))
    plain = units(api.post(path, MESSAGE, **ASKED).headers["x-annals-cost"])
    keyed = units(api.post(path, MESSAGE, idempotency_key="once", **ASKED).headers["x-annals-cost"])
    with costs.metered() as spent:
        project_head(conversation_pk(api.caller.tenant, made))
    assert plain[:2] == (assumed.ledger_wcu_per_kb, assumed.append_rcu)
    assert keyed[0] - plain[0] == assumed.key_wcu
    assert (spent.wcu, spent.rcu) == (assumed.project_wcu, assumed.project_rcu)


def test_a_history_costs_read_units_alone(api: Api, path: str) -> None:
    api.post(path, MESSAGE)
    written, read, _ = units(api.get(path, **ASKED).headers["x-annals-cost"])
    assert written == 0
    assert read > 0


def test_a_refusal_tells_its_cost_too(api: Api) -> None:
    answer = api.get("/v1/conversations/nowhere/messages", **ASKED)
    assert answer.status == 404
    assert units(answer.headers["x-annals-cost"])[1] > 0


def test_who_does_not_ask_is_told_nothing(api: Api, path: str) -> None:
    assert "x-annals-cost" not in api.post(path, MESSAGE).headers


def test_embedded_tokens_are_those_that_the_model_counts() -> None:
    with serving(EmbeddingServer()) as server, costs.metered() as spent:
        OpenAIEmbedder(f"{server.url}/v1", "any", key=ApiKey("")).embed(["one", "", "two"])
    assert spent.embed_tokens == 4


@pytest.mark.parametrize(("pieces", "size"), [(60, 40), (20, 1_000), (10, 10_000)])
def test_a_text_that_is_said_piece_by_piece_costs_what_is_new_of_it(
    api: Api, path: str, pieces: int, size: int
) -> None:
    piece = {"role": "assistant", "content": "x" * size}
    written = [units(api.put(f"{path}/reply", piece, **ASKED).headers["x-annals-cost"])[0] for _ in range(pieces)]
    first, *others = written
    assert first <= 14 + 2 * size / 1_024
    assert max(others[: pieces // 2]) == max(others[pieces // 2 :])
    assert sum(others) / len(others) <= (1.5 if size < 100 else 5 + 2 * size / 1_024)
    ended = api.put(f"{path}/reply", {"role": "assistant", "completed": True}, **ASKED)
    assert units(ended.headers["x-annals-cost"])[0] <= 12 + 4 * pieces * size / 1_024


def test_a_message_that_is_complete_at_once_costs_a_transaction(api: Api, path: str) -> None:
    body = {"role": "assistant", "content": "hello", "completed": True}
    assert units(api.put(f"{path}/reply", body, **ASKED).headers["x-annals-cost"])[0] == 7


def test_completing_an_incomplete_message_costs_a_transaction(api: Api, path: str) -> None:
    api.post(path, {**MESSAGE, "status": "incomplete"})
    cost = api.post(path, {**MESSAGE, "supersedes": "msg-001"}, **ASKED).headers["x-annals-cost"]
    assert units(cost)[0] == 4
