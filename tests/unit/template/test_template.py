"""What the template promises: nothing lost in a stream, every route behind the authorizer."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from annals.ingest.storing import RETENTION_S
from annals.settings import Settings
from local import template

ROOT = Path(__file__).parents[3]
RESOURCES: dict[str, Any] = template.document_of(ROOT / "template.yaml")["Resources"]
FUNCTIONS = {
    name: part["Properties"] for name, part in RESOURCES.items() if part["Type"] == "AWS::Serverless::Function"
}
TABLES = {name: part for name, part in RESOURCES.items() if part["Type"] == "AWS::DynamoDB::Table"}
API = RESOURCES["Api"]["Properties"]
COMMON = template.document_of(ROOT / "template.yaml")["Globals"]["Function"]
OPEN_ROUTES = {("GET", "/v1/health"), ("ANY", "/"), ("ANY", "/{proxy+}")}

each_function = pytest.mark.parametrize("name", FUNCTIONS)
each_table = pytest.mark.parametrize("name", TABLES)
each_problem = pytest.mark.parametrize("kind", API["GatewayResponses"])


def events(kind: str) -> list[tuple[str, dict[str, Any]]]:
    return [
        (name, event["Properties"])
        for name, function in FUNCTIONS.items()
        for event in function.get("Events", {}).values()
        if event["Type"] == kind
    ]


@each_function
def test_a_function_keeps_its_log_for_as_long_as_the_parameter_says(name: str) -> None:
    group = RESOURCES[FUNCTIONS[name]["LoggingConfig"]["LogGroup"]["Ref"]]
    assert group["Type"] == "AWS::Logs::LogGroup"
    assert group["Properties"]["RetentionInDays"] == {"Ref": "LogRetentionDays"}


@each_function
def test_a_function_is_its_folder_unbuilt(name: str) -> None:
    folder = ROOT / FUNCTIONS[name]["CodeUri"]
    assert RESOURCES[name]["Metadata"] == {"SkipBuild": True}
    assert (folder / "app.py").exists()


def test_every_folder_of_functions_is_in_the_template() -> None:
    folders = {f"functions/{app.parent.name}" for app in ROOT.glob("functions/*/app.py")}
    assert folders == {function["CodeUri"] for function in FUNCTIONS.values()}


@each_function
def test_a_function_gets_settings_that_there_are(name: str) -> None:
    runtime = re.compile("AWS_|LOG_LEVEL|POWERTOOLS_")
    variables = FUNCTIONS[name].get("Environment", {"Variables": {}})["Variables"].keys() | common_variables()
    assert {variable.lower() for variable in variables if not runtime.match(variable)} <= vars(Settings()).keys()


def common_variables() -> set[str]:
    return set(COMMON["Environment"]["Variables"])


@each_function
def test_a_setting_is_a_text_or_said_elsewhere(name: str) -> None:
    settings = {**COMMON["Environment"]["Variables"], **FUNCTIONS[name].get("Environment", {}).get("Variables", {})}
    assert [setting for setting, value in settings.items() if not isinstance(value, str | dict)] == []


def test_functions_run_on_the_runtime_and_processor_that_the_layers_are_built_for() -> None:
    layers = {name: part["Properties"] for name, part in RESOURCES.items() if part["Type"].endswith("::LayerVersion")}
    assert COMMON["Architectures"] == [{"Ref": "Architecture"}]
    of_one = {"TokensLayerArm": ["arm64"], "TokensLayerX86": ["x86_64"]}
    for name, layer in layers.items():
        assert layer["CompatibleRuntimes"] == [COMMON["Runtime"]]
        assert layer["CompatibleArchitectures"] == of_one.get(name, ["arm64", "x86_64"])


def test_only_the_authorizer_carries_what_tokens_need_and_only_where_they_are_taken() -> None:
    carriers = [name for name, part in FUNCTIONS.items() if "TokensLayer" in json.dumps(part)]
    assert carriers == ["AuthorizerFunction"]
    assert FUNCTIONS["AuthorizerFunction"]["Layers"] == [
        {"Fn::If": [f"TakesTokensOn{name}", {"Ref": f"TokensLayer{name}"}, {"Ref": "AWS::NoValue"}]}
        for name in ("Arm", "X86")
    ]


@pytest.mark.parametrize(("name", "event"), events("DynamoDB"))
def test_a_stream_mapping_loses_no_record_and_is_blocked_by_none(name: str, event: dict[str, Any]) -> None:
    assert event["BisectBatchOnFunctionError"] is True
    assert 0 < event["MaximumRetryAttempts"] <= 10_000
    assert event["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert event["StartingPosition"] == "TRIM_HORIZON"
    assert event["DestinationConfig"]["OnFailure"] == {
        "Type": "SQS",
        "Destination": {"Fn::GetAtt": ["StreamFailures", "Arn"]},
    }


def test_a_stream_has_at_most_two_readers() -> None:
    readers = [json.dumps(event["Stream"]) for _, event in events("DynamoDB")]
    assert all(readers.count(stream) <= 2 for stream in readers)


@pytest.mark.parametrize(("name", "event"), events("Api"))
def test_a_route_is_behind_the_authorizer_unless_it_is_open_on_purpose(name: str, event: dict[str, Any]) -> None:
    is_open = event.get("Auth") == {"Authorizer": "NONE"}
    assert is_open == ((event["Method"], event["Path"]) in OPEN_ROUTES)
    assert "Auth" not in event or is_open


def test_the_authorizer_is_asked_for_every_request_whichever_header_carries_the_key() -> None:
    assert API["Auth"]["DefaultAuthorizer"] == "CallerAuthorizer"
    authorizer = API["Auth"]["Authorizers"]["CallerAuthorizer"]
    assert authorizer["FunctionPayloadType"] == "REQUEST"
    assert authorizer["Identity"] == {"ReauthorizeEvery": 0}


def test_a_streamed_route_streams_for_as_long_as_its_function_may_run() -> None:
    streamed = [(name, event) for name, event in events("Api") if "ResponseTransferMode" in event]
    assert {name for name, _ in streamed} == {"ExportFunction", "RememberStreamFunction"}
    for name, event in streamed:
        assert event["ResponseTransferMode"] == "RESPONSE_STREAM"
        assert event["TimeoutInMillis"] == FUNCTIONS[name]["Timeout"] * 1000
    assert API["EndpointConfiguration"] == {"Type": "REGIONAL"}


def test_what_the_web_adapter_starts_may_be_executed() -> None:
    started = [ROOT / part["CodeUri"] / part["Handler"] for part in FUNCTIONS.values() if "Handler" in part]
    assert started
    assert all(os.access(program, os.X_OK) for program in started)


@each_problem
def test_what_api_gateway_answers_itself_is_problem_details(kind: str) -> None:
    response = API["GatewayResponses"][kind]
    body = response["ResponseTemplates"]["application/json"].replace("$context.error.messageString", '"said"')
    problem = json.loads(body)
    assert response["ResponseParameters"]["Headers"]["Content-Type"] == "'application/problem+json'"
    assert list(problem) == ["type", "title", "status", "code", "detail", "requestId"]
    assert problem["status"] == response["StatusCode"]
    assert problem["requestId"] == "$context.requestId"


def test_a_caller_that_cannot_be_checked_is_asked_to_come_again() -> None:
    response = API["GatewayResponses"]["AUTHORIZER_FAILURE"]
    assert response["StatusCode"] == 503
    assert response["ResponseParameters"]["Headers"]["Retry-After"] == "'1'"


def test_a_method_that_a_path_does_not_have_is_405() -> None:
    assert API["GatewayResponses"]["MISSING_AUTHENTICATION_TOKEN"]["StatusCode"] == 405


@each_table
def test_a_table_survives_mistakes(name: str) -> None:
    table = TABLES[name]
    assert table["DeletionPolicy"] == table["UpdateReplacePolicy"] == "Retain"
    assert table["Properties"]["DeletionProtectionEnabled"] is True
    assert table["Properties"]["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["Properties"]["BillingMode"] == "PAY_PER_REQUEST"


@each_table
def test_streams_and_indexes_carry_keys_and_no_words(name: str) -> None:
    properties = TABLES[name]["Properties"]
    assert properties["StreamSpecification"] == {"StreamViewType": "KEYS_ONLY"}
    for index in properties["GlobalSecondaryIndexes"]:
        assert index["Projection"] == {"ProjectionType": "KEYS_ONLY"}


def test_the_ledger_forgets_nothing() -> None:
    assert "TimeToLiveSpecification" not in TABLES["LedgerTable"]["Properties"]


def test_the_root_key_is_in_the_secret_store_and_in_no_output() -> None:
    variables = FUNCTIONS["AuthorizerFunction"]["Environment"]["Variables"]
    outputs = template.document_of(ROOT / "template.yaml")["Outputs"]
    assert variables["ROOT_KEY"] == {"Fn::GetAtt": ["RootKey", "Id"]}
    assert "resolve:secretsmanager" not in json.dumps(outputs)


def test_routes_are_under_v1_whatever_the_stage() -> None:
    paths = {event["Path"] for _, event in events("Api")}
    assert all(path.startswith("/v1/") for path in paths - {"/", "/{proxy+}"})
    assert API["StageName"] == {"Ref": "Stage"}


def test_a_queue_of_events_keeps_its_order_and_loses_no_message() -> None:
    [(name, event)] = events("SQS")
    queue = RESOURCES["IngestQueue"]["Properties"]
    assert event["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert event["Queue"] == {"Fn::GetAtt": ["IngestQueue", "Arn"]}
    assert queue["FifoQueue"] is RESOURCES["IngestDeadLetters"]["Properties"]["FifoQueue"] is True
    assert "ContentBasedDeduplication" not in queue  # who says the same thing twice means it twice
    assert queue["VisibilityTimeout"] >= FUNCTIONS[name]["Timeout"]
    assert queue["RedrivePolicy"]["deadLetterTargetArn"] == {"Fn::GetAtt": ["IngestDeadLetters", "Arn"]}


def test_what_a_bus_or_a_bucket_sends_is_tried_again_and_then_kept() -> None:
    failures = {"Fn::GetAtt": ["IngestFailures", "Arn"]}
    for kind in ("EventBridgeRule", "S3"):
        [(name, _)] = events(kind)
        asynchronous = FUNCTIONS[name]["EventInvokeConfig"]
        assert asynchronous["MaximumRetryAttempts"] == 2
        assert asynchronous["DestinationConfig"]["OnFailure"] == {"Type": "SQS", "Destination": failures}
    [(_, rule)] = events("EventBridgeRule")
    assert rule["DeadLetterConfig"] == {"Arn": failures}
    assert rule["Pattern"] == {"source": [{"prefix": ""}]}  # nothing that is put on the bus gets lost unseen


def test_a_message_has_room_among_the_failures_however_it_is_written() -> None:
    sizes = [RESOURCES[name]["Properties"]["MaximumMessageSize"] for name in ("IngestQueue", "IngestFailures")]
    assert 3 * sizes[0] < sizes[1]  # JSON writes a letter of two bytes in six


def test_what_could_not_be_stored_is_kept_for_as_long_as_its_key_is_known() -> None:
    for name in ("IngestQueue", "IngestDeadLetters", "IngestFailures"):
        assert RESOURCES[name]["Properties"]["MessageRetentionPeriod"] < RETENTION_S


def test_a_bucket_is_closed_to_everybody_but_its_function() -> None:
    bucket = RESOURCES["IngestBucket"]["Properties"]
    assert all(bucket["PublicAccessBlockConfiguration"].values())
    allowed, refused = RESOURCES["IngestBucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert (allowed["Action"], allowed["Principal"]) == (
        "s3:GetObject",
        {"AWS": {"Fn::GetAtt": ["IngestFunctionRole", "Arn"]}},
    )
    assert (refused["Effect"], refused["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": False}})


@pytest.mark.parametrize("name", ["IngestFunction", "ProjectFunction", "IndexFunction"])
def test_what_publishes_events_does_so_only_where_there_is_a_bus(name: str) -> None:
    is_told = "EVENTS_BUS" in FUNCTIONS[name]["Environment"]["Variables"]
    statements = json.dumps(FUNCTIONS[name]["Policies"])
    assert is_told == ("events:PutEvents" in statements) == (name != "IngestFunction")
