"""What the API's document says can be asked, the client can ask; what it says is answered has a typed attribute."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Iterator
from typing import Any, get_args, get_type_hints

import pytest

from annals_client import NewFact, NewMessage, models
from annals_client.filters import MemoryFilter
from annals_client.methods import ListMethod, Method, SaveMethod
from annals_client.resources.documents import Documents
from annals_client.resources.memory import AskedTurn
from annals_client.wire import camel
from tests.client.test_routes import groups
from tests.e2e.servers import ROOT

API = json.loads((ROOT / "openapi.json").read_text())
SCHEMAS = API["components"]["schemas"]

MADE_OF_OTHERS = {"participants", "type", "filter", "messages", "agent1", "agent2", "limit", "cursor", "drafts"}
"""Fields that methods put together, or count by themselves."""

RENAMED = {
    "SentBetweenAgents": models.AgentMessage,
    "BrokenConversation": models.BrokenImport,
    "ImportedConversation": models.Imported,
    "ImportedConversations": models.ImportAnswer,
    "KeyResponse": models.Key,
    "TurnFactsResponse": models.KeptFacts,
    "ParticipantResponse": models.Participant,
    "UserReceiptResponse": models.Receipt,
    "ReceiptResponse": models.Receipt,
    "SpaceResponse": models.Space,
    "SummaryResponse": models.Summary,
    "ConversationWithMore": models.Conversation,
    "ContextWindow": models.ProviderContext,
}


def _methods() -> Iterator[tuple[str, Any]]:
    for group in groups():
        for name, method in vars(group).items():
            if isinstance(method, Method | ListMethod | SaveMethod):
                yield f"{group.__name__}.{name}", method


METHODS = dict(_methods())

PARTLY = {
    "Messages.append_many",
    "Messages._begin_upload",
    "Messages._get",
    "Messages._drafts",
    "Messages.part",
    "Conversations._import",
    "Conversations.context",
    "Turns.remember",
    "Turns.remember_reply",
    "Documents._put",
    "Documents._get",
    "Documents._delete",
    "Documents._delete_many",
}
"""Methods that share a route with another one, or are a part of one."""


def _takes(method: Any) -> set[str]:
    """The names of all that a method takes, as the API has them."""
    hints = get_type_hints(method.describe)
    names = set()
    for name, parameter in inspect.signature(method.describe).parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            names |= set(get_type_hints(get_args(hints[name])[0]))
        else:
            names.add(name)
    return _api_names(names)


def _api_names(names: Iterable[str]) -> set[str]:
    """Names as the API has them; those of providers' fields stay theirs."""
    return {spelled for name in names for spelled in (name, camel(name))}


def _asked(operation: dict[str, Any]) -> set[str]:
    """The names of all that a route asks for in query and body."""
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    query = [each["name"] for each in operation.get("parameters", []) if each["in"] == "query"]
    names = {name.removeprefix("participants.").partition(".")[0] for name in query}
    for schema in body.get("oneOf", [body]):
        if "$ref" in schema:
            fields = SCHEMAS[schema["$ref"].rpartition("/")[2]]["properties"]
            names |= {name for name, field in fields.items() if field.get("type") != "null"}
    return names


@pytest.mark.parametrize("name", sorted(METHODS.keys() - PARTLY))
def test_a_method_takes_what_its_route_asks_for(name: str) -> None:
    method = METHODS[name]
    operation = API["paths"][method.route.template][method.route.method.lower()]
    assert _asked(operation) - _takes(method) - MADE_OF_OTHERS == set()


@pytest.mark.parametrize("name", ["put", "get", "delete", "delete_many"])
def test_a_method_of_several_steps_takes_what_its_route_asks_for(name: str) -> None:
    route = METHODS[f"Documents._{name}"].route
    operation = API["paths"][route.template][route.method.lower()]
    takes = set(inspect.signature(getattr(Documents, name).steps).parameters) | {"ttl_seconds"}
    assert _asked(operation) - _api_names(takes) == set()


def test_what_is_said_as_a_dict_has_every_field() -> None:
    pairs = [(AskedTurn, "RememberStream"), (MemoryFilter, "SearchFilter"), (NewFact, "NewFact")]
    for kind, schema in [*pairs, (NewMessage, "NewMessage")]:
        assert set(SCHEMAS[schema]["properties"]) <= _api_names(get_type_hints(kind))


ANSWERS = {name: kind for name in SCHEMAS if (kind := RENAMED.get(name) or getattr(models, name, None))}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_has_an_attribute_for_every_field(name: str) -> None:
    fields = {field.alias for field in ANSWERS[name].model_fields.values()}
    assert set(SCHEMAS[name]["properties"]) - fields == set()


def test_every_answer_is_known() -> None:
    assert len(ANSWERS) > 25
    assert {"Conversation", "Message", "Memory", "Fact", "Hit", "Appended", "Remembered"} <= set(ANSWERS)
