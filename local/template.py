"""What the development server needs of template.yaml: routes, authorizer, tables, streams and gateway responses."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

try:  # written in C, and ten times as fast; not in every build of PyYAML
    from yaml import CSafeLoader as SafeLoader
except ImportError:
    from yaml import SafeLoader  # type: ignore[assignment]

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Route:
    """One method of one path. ``resource`` is as in the template: ``/v1/keys/{keyId}``."""

    method: str
    resource: str
    function: str
    authorized: bool
    streams: bool
    timeout_s: float


@dataclass(frozen=True)
class StreamMapping:
    """A function that reads a table's stream; ``table`` is the table's logical id.

    ``patterns`` are those of its FilterCriteria: it gets the records that fit one of them, or all if there are none.
    """

    function: str
    table: str
    batch_size: int
    retry_attempts: int
    patterns: tuple[Mapping[str, Any], ...] = ()

    @property
    def name(self) -> str:
        """Under which its checkpoint is kept."""
        return f"{self.function}/{self.table}"


@dataclass(frozen=True)
class GatewayResponse:
    """What API Gateway itself answers: a status, headers, and a body with ``$context`` variables."""

    status: int
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True)
class Template:
    """The template, read.

    ``tables`` holds CloudFormation properties by logical id, ``table_names`` the logical id of the table that each
    environment variable names, ``functions`` their folders by name, ``queue_reader`` the one that reads a queue.
    """

    routes: tuple[Route, ...]
    authorizer: str
    tables: Mapping[str, Mapping[str, Any]]
    table_names: Mapping[str, str]
    mappings: tuple[StreamMapping, ...]
    gateway_responses: Mapping[str, GatewayResponse]
    functions: Mapping[str, Path]
    queue_reader: str

    @property
    def streaming(self) -> dict[str, Path]:
        """The folders of the functions that stream their answers."""
        names = {route.function for route in self.routes if route.streams}
        return {name: folder for name, folder in self.functions.items() if name in names}

    @property
    def buffered(self) -> dict[str, Path]:
        """The folders of the functions that work on one event at a time."""
        return {name: folder for name, folder in self.functions.items() if name not in self.streaming}


@cache
def read() -> Template:
    """This project's template."""
    document = document_of(ROOT / "template.yaml")
    resources = document["Resources"]
    common = document["Globals"]["Function"]
    functions = {name: part["Properties"] for name, part in resources.items() if part["Type"].endswith("::Function")}
    folders = {name: Path(properties["CodeUri"]).name for name, properties in functions.items()}
    api = next(part["Properties"] for part in resources.values() if part["Type"] == "AWS::Serverless::Api")
    events = [(folders[name], {**common, **part}, event) for name, part in functions.items() for event in _events(part)]
    tables = {name: part["Properties"] for name, part in resources.items() if part["Type"] == "AWS::DynamoDB::Table"}
    return Template(
        routes=tuple(_route(*event) for event in events if event[2]["Type"] == "Api"),
        authorizer=folders[_authorizer(api["Auth"])],
        tables=tables,
        table_names=dict(_references(common["Environment"]["Variables"], tables)),
        mappings=tuple(_mapping(*event) for event in events if event[2]["Type"] == "DynamoDB"),
        gateway_responses={name: _gateway_response(part) for name, part in api["GatewayResponses"].items()},
        functions={folders[name]: ROOT / part["CodeUri"] for name, part in functions.items()},
        queue_reader=next(event[0] for event in events if event[2]["Type"] == "SQS"),
    )


def document_of(path: Path) -> dict[str, Any]:
    """The template as plain values, its short forms (``!Ref x``) written out (``{"Ref": "x"}``)."""
    document: dict[str, Any] = yaml.load(path.read_text(), _Loader)  # noqa: S506 - a SafeLoader underneath
    return document


class _Loader(SafeLoader):
    pass


def _short_form(loader: SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)  # type: ignore[arg-type]
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short_form)


def _events(function: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from function.get("Events", {}).values()


def _route(folder: str, function: Mapping[str, Any], event: Mapping[str, Any]) -> Route:
    properties = event["Properties"]
    return Route(
        method=properties["Method"].upper(),
        resource=properties["Path"],
        function=folder,
        authorized=properties.get("Auth", {}).get("Authorizer") != "NONE",
        streams=properties.get("ResponseTransferMode") == "RESPONSE_STREAM",
        timeout_s=min(properties.get("TimeoutInMillis", 29_000) / 1000, function["Timeout"]),
    )


def _mapping(folder: str, _function: Mapping[str, Any], event: Mapping[str, Any]) -> StreamMapping:
    properties = event["Properties"]
    return StreamMapping(
        function=folder,
        table=properties["Stream"]["Fn::GetAtt"][0],
        batch_size=properties["BatchSize"],
        retry_attempts=properties["MaximumRetryAttempts"],
        patterns=tuple(json.loads(part["Pattern"]) for part in properties.get("FilterCriteria", {}).get("Filters", [])),
    )


def _authorizer(auth: Mapping[str, Any]) -> str:
    authorizer = auth["Authorizers"][auth["DefaultAuthorizer"]]
    return str(authorizer["FunctionArn"]["Fn::GetAtt"][0])


def _references(variables: Mapping[str, Any], tables: Collection[str]) -> Iterator[tuple[str, str]]:
    for name, value in variables.items():
        if isinstance(value, dict) and value.get("Ref") in tables:
            yield name, value["Ref"]


def _gateway_response(properties: Mapping[str, Any]) -> GatewayResponse:
    headers = properties["ResponseParameters"]["Headers"]
    return GatewayResponse(
        status=properties["StatusCode"],
        headers={name: value.strip("'") for name, value in headers.items()},
        body=properties["ResponseTemplates"]["application/json"],
    )
