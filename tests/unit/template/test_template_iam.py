"""Who may do what: every function's permissions, statement by statement, as the template gives them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from annals.api.sealing_key import PK
from local import template

RESOURCES: dict[str, Any] = template.document_of(Path(__file__).parents[3] / "template.yaml")["Resources"]
FUNCTIONS = {
    name: part["Properties"] for name, part in RESOURCES.items() if part["Type"] == "AWS::Serverless::Function"
}
TABLES = {name for name, part in RESOURCES.items() if part["Type"] == "AWS::DynamoDB::Table"}

PUT, UPDATE, DELETE = "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"
READS = {f"dynamodb:{read}" for read in ("GetItem", "BatchGetItem", "Query", "Scan", "ConditionCheckItem")}

WRITES: dict[str, dict[str, set[str]]] = {
    "A2aFunction": {"LedgerTable": {PUT}, "StateTable": {PUT}},
    "AppendFunction": {"LedgerTable": {PUT}, "StateTable": {PUT}},
    "ContextFunction": {"StateTable": {PUT}},
    "ConversationsFunction": {"LedgerTable": {PUT}, "StateTable": {PUT, UPDATE}},
    "DocumentsFunction": {"StateTable": {PUT, UPDATE, DELETE}},
    "EraseFunction": {"LedgerTable": {PUT, UPDATE}, "StateTable": {PUT, UPDATE, DELETE}},
    "FactsFunction": {"StateTable": {PUT, DELETE}},
    "FinishErasureFunction": {"LedgerTable": {PUT, UPDATE}, "StateTable": {PUT, UPDATE, DELETE}},
    "ImportFunction": {"LedgerTable": {PUT}, "StateTable": {PUT, DELETE}},
    "IngestFunction": {"LedgerTable": {PUT}, "StateTable": {PUT, DELETE}},
    "KeysFunction": {"StateTable": {PUT, UPDATE}},
    "MarksFunction": {"LedgerTable": {PUT}, "StateTable": {PUT}},
    "MemoriesFunction": {"StateTable": {PUT, DELETE}},
    "MessagesFunction": {"StateTable": {PUT}},
    "ProjectFunction": {"StateTable": {PUT, UPDATE, DELETE}},
    "RememberFunction": {"LedgerTable": {PUT}, "StateTable": {PUT}},
    "RememberStreamFunction": {"LedgerTable": {PUT}, "StateTable": {PUT, DELETE}},
    "RunsFunction": {"StateTable": {PUT, DELETE}},
    "SpacesFunction": {"StateTable": {PUT}},
    "SummariesFunction": {"StateTable": {PUT}},
    "UpsertFunction": {"LedgerTable": {PUT}, "StateTable": {PUT, DELETE}},
    "UsersFunction": {"StateTable": {PUT, DELETE}},
}
"""What each function may write, by table. A function that is not here may write nothing."""

SCRUBBING = {"EraseFunction", "FinishErasureFunction"}
"""The functions that redact and erase."""

WILDCARDS = {
    # The objects of a bucket: those of messages' parts, and those that were uploaded.
    "${BlobsBucket.Arn}/parts/*": ("s3:GetObject", "s3:PutObject"),
    "${BlobsBucket.Arn}/uploads/*": ("s3:GetObject", "s3:PutObject"),
    "${BlobsBucket.Arn}/values/*": ("s3:GetObject", "s3:PutObject", "s3:DeleteObject"),
    "${BlobsBucket.Arn}/*": ("s3:DeleteObject",),
    # A domain's ARN ends in /*: what follows are the paths of its own HTTP API.
    "${OpenSearchArn}/*": ("es:",),
    # Reranking is not permitted by resource; which model may be invoked for it is said beside. Nor are metrics.
    "*": ("bedrock:Rerank", "comprehend:DetectPiiEntities", "cloudwatch:GetMetricData"),
}
"""Where a resource may hold a ``*``, and for which actions."""

each_function = pytest.mark.parametrize("name", FUNCTIONS)


def policies(name: str) -> list[Any]:
    found: list[Any] = FUNCTIONS[name].get("Policies", [])
    return found


def statements(name: str) -> list[dict[str, Any]]:
    return [found for policy in policies(name) for part in policy["Statement"] for found in branches(part)]


def branches(part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A statement, or those of all branches of an Fn::If."""
    if "Fn::If" in part:
        for branch in part["Fn::If"][1:]:
            yield from branches(branch)
    elif part != {"Ref": "AWS::NoValue"}:
        yield part


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def texts(value: Any) -> Iterator[str]:
    """Every text in a resource, whatever functions it is made with."""
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from texts(inner)


def tables_of(resource: Any) -> set[str]:
    words = set(re.findall(r"\w+", json.dumps(resource)))
    return {table for table in TABLES if table in words}


def writes(name: str) -> dict[str, set[str]]:
    """What a function may do to tables beside reading them."""
    found: dict[str, set[str]] = {}
    for statement in statements(name):
        actions = {action for action in listed(statement["Action"]) if action.startswith("dynamodb:")}
        for table in tables_of(statement["Resource"]) if actions - READS else ():
            found.setdefault(table, set()).update(actions - READS)
    return found


@each_function
def test_a_function_writes_to_the_tables_what_the_list_says_and_nothing_else(name: str) -> None:
    assert writes(name) == WRITES.get(name, {})


def test_what_reads_messages_may_put_the_key_of_cursors_and_no_other_item() -> None:
    (put,) = [found for found in statements("MessagesFunction") if PUT in listed(found["Action"])]
    assert put["Condition"] == {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": [PK]}}


def documented() -> dict[str, list[str]]:
    """The table of docs/security.md, by function."""
    text = (template.ROOT / "docs/security.md").read_text()
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if "Function` |" in line
    ]
    return {name.strip("`"): cells for name, *cells in rows}


@each_function
def test_the_documentation_says_what_a_function_may_do_to_the_tables(name: str) -> None:
    words = {PUT: "put", UPDATE: "update", DELETE: "delete"}
    for table, said in zip(("LedgerTable", "StateTable"), documented()[name], strict=False):
        reads = any(
            table in tables_of(statement["Resource"]) and READS & set(listed(statement["Action"]))
            for statement in statements(name)
        )
        does = [word for action, word in words.items() if action in writes(name).get(table, ())]
        assert said == ", ".join((["read"] if reads else []) + does), table


def parts_permissions(name: str) -> dict[str, set[str]]:
    """What a function may do to the bucket of parts: actions by what follows its ARN."""
    found: dict[str, set[str]] = {}
    for statement in statements(name):
        for text in texts(statement["Resource"]):
            if "BlobsBucket" in text:
                kind = text.partition("Arn")[2].strip("}")
                found.setdefault(kind, set()).update(listed(statement["Action"]))
    return found


GET_OBJECT, PUT_OBJECT, DELETE_OBJECT, LIST = "s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"

DELETING = {"EraseFunction", "FinishErasureFunction", "ProjectFunction"}
APPENDING_NO_MESSAGES = {"ConversationsFunction", "EraseFunction", "FinishErasureFunction", "MarksFunction"}
APPENDING = {name for name in FUNCTIONS if PUT in writes(name).get("LedgerTable", ())} - APPENDING_NO_MESSAGES


@each_function
def test_a_function_may_do_with_parts_what_it_is_for_and_only_what_erases_and_redacts_may_delete(name: str) -> None:
    expected: dict[str, set[str]] = {}
    if name in APPENDING:
        expected = {"/parts/*": {PUT_OBJECT}, "/uploads/*": {GET_OBJECT}, "": {LIST}}
    elif name in DELETING:
        expected = {"/*": {DELETE_OBJECT}, "": {LIST}}
        if name == "FinishErasureFunction":  # it stores what is kept of drafts, too
            expected |= {"/parts/*": {PUT_OBJECT}, "/uploads/*": {GET_OBJECT}}
    elif name in ("ExportFunction", "MessagesFunction"):
        expected = {"/parts/*": {GET_OBJECT}, "": {LIST}}
    elif name == "PartsFunction":
        expected = {"/parts/*": {GET_OBJECT}, "/uploads/*": {PUT_OBJECT}, "": {LIST}}
    elif name in ("DocumentsFunction", "RunsFunction"):
        expected = {"/values/*": {GET_OBJECT, PUT_OBJECT, DELETE_OBJECT}, "": {LIST}}
    if name == "ExportFunction":
        expected |= {"/values/*": {GET_OBJECT}}
    elif name in ("ImportFunction", "IngestFunction"):  # runs, whose large data they take back where others are faster
        expected |= {"/values/*": {PUT_OBJECT, DELETE_OBJECT}}
    assert parts_permissions(name) == expected
    assert ("BLOBS_BUCKET" in FUNCTIONS[name].get("Environment", {}).get("Variables", {})) == bool(expected)


def test_the_list_names_functions_that_there_are() -> None:
    assert WRITES.keys() <= FUNCTIONS.keys()


@each_function
def test_no_function_may_delete_an_entry_and_only_those_that_scrub_may_change_one(name: str) -> None:
    allowed = {PUT, UPDATE} if name in SCRUBBING else {PUT}
    assert writes(name).get("LedgerTable", set()) <= allowed


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if PUT in writes(name).get("LedgerTable", ())])
def test_what_may_put_an_entry_may_look_for_its_place(name: str) -> None:
    reads = {
        action
        for statement in statements(name)
        if "LedgerTable" in tables_of(statement["Resource"])
        for action in listed(statement["Action"])
    }
    assert {"dynamodb:Query", "dynamodb:GetItem"} <= reads


@each_function
def test_a_function_s_permissions_are_statements_that_say_what_they_are_for(name: str) -> None:
    assert FUNCTIONS[name].keys().isdisjoint({"Role", "PermissionsBoundary", "AssumeRolePolicyDocument", "Connectors"})
    for policy in policies(name):
        assert isinstance(policy, dict), f"{policy} is a policy by name: write down what it allows"
        assert policy.keys() == {"Statement"}
    for statement in statements(name):
        assert statement.keys() <= {"Sid", "Effect", "Action", "Resource", "Condition"}
        assert statement["Effect"] == "Allow"
    sids = [statement["Sid"] for statement in statements(name)]
    assert len(set(sids)) == len(sids)


def test_all_permissions_are_in_the_functions() -> None:
    elsewhere = ("AWS::IAM::", "AWS::Serverless::Connector", "AWS::DynamoDB::ResourcePolicy")
    assert [name for name, part in RESOURCES.items() if part["Type"].startswith(elsewhere)] == ["UseOfKey"]
    assert not [name for name in TABLES if "ResourcePolicy" in RESOURCES[name]["Properties"]]
    assert "Policies" not in template.document_of(template.ROOT / "template.yaml")["Globals"]["Function"]


@each_function
def test_a_statement_names_its_actions(name: str) -> None:
    for statement in statements(name):
        actions = listed(statement["Action"])
        assert all(re.fullmatch(r"[a-z0-9-]+:[A-Za-z0-9]+", action) for action in actions), actions
        assert len({action.split(":")[0] for action in actions}) == 1


@each_function
def test_a_statement_names_its_resources(name: str) -> None:
    for statement in statements(name):
        for text in texts(statement["Resource"]):
            if "*" in text:
                assert all(action.startswith(WILDCARDS.get(text, ())) for action in listed(statement["Action"])), text


@each_function
def test_a_statement_about_a_table_names_the_table_or_its_index(name: str) -> None:
    for statement in statements(name):
        if any(action.startswith("dynamodb:") for action in listed(statement["Action"])):
            assert all(tables_of(resource) for resource in listed(statement["Resource"]))
