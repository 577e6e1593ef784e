"""What the template watches: whatever can fail unseen has an alarm, and every alarm has its page in the runbook."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest

from annals.cli.costing import Month
from annals.telemetry import NAMESPACE, CountMetric, TimeMetric
from local import template

ROOT = Path(__file__).parents[3]
RESOURCES: dict[str, Any] = template.document_of(ROOT / "template.yaml")["Resources"]
OPERATIONS: dict[str, Any] = template.document_of(ROOT / "operations.yaml")
RUNBOOK = (ROOT / "docs/operations.md").read_text()
METRICS = {*get_args(CountMetric), *get_args(TimeMetric)}

Watched = tuple[str, str, str]


def of_type(kind: str, resources: dict[str, Any] = RESOURCES) -> dict[str, Any]:
    return {name: part["Properties"] for name, part in resources.items() if part["Type"] == kind}


FUNCTIONS = of_type("AWS::Serverless::Function")
ALARMS = of_type("AWS::CloudWatch::Alarm", OPERATIONS["Resources"])


def watched() -> set[Watched]:
    """What is looked at: a namespace's metric of a resource, whose name is a parameter that is called as it is."""
    return {
        (alarm["Namespace"], alarm["MetricName"], alarm["Dimensions"][0]["Value"]["Ref"])
        for alarm in ALARMS.values()
        if "Dimensions" in alarm
    }


def test_operations_watch_the_resources_that_their_parameters_are_called_as() -> None:
    given = RESOURCES["Operations"]["Properties"]["Parameters"]
    assert given.keys() == OPERATIONS["Parameters"].keys()
    assert given.pop("Stack") == {"Ref": "AWS::StackName"}
    for name, value in given.items():
        assert value in ({"Ref": name}, {"Fn::GetAtt": [name, "QueueName"]})
        assert name in RESOURCES or name in template.document_of(ROOT / "template.yaml")["Parameters"]


def events_of(name: str) -> set[str]:
    return {event["Type"] for event in FUNCTIONS[name].get("Events", {}).values()}


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if "DynamoDB" in events_of(name)])
def test_a_function_that_reads_a_stream_may_not_fall_behind_unseen(name: str) -> None:
    assert ("AWS/Lambda", "IteratorAge", name) in watched()


@pytest.mark.parametrize("name", of_type("AWS::SQS::Queue"))
def test_a_queue_may_not_fill_unseen(name: str) -> None:
    metrics = {metric for namespace, metric, queue in watched() if (namespace, queue) == ("AWS/SQS", name)}
    assert metrics & {"ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"}


@pytest.mark.parametrize("name", of_type("AWS::DynamoDB::Table"))
def test_a_table_may_not_be_throttled_unseen(name: str) -> None:
    assert {("AWS/DynamoDB", f"{kind}ThrottleEvents", name) for kind in ("Read", "Write")} <= watched()


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if "Api" not in events_of(name)])
def test_a_function_of_which_the_api_tells_no_errors_tells_its_own(name: str) -> None:
    is_authorizer = name == "AuthorizerFunction"  # it refuses a wrong key by an error
    assert is_authorizer or ("AWS/Lambda", "Errors", name) in watched()


def test_throttles_of_any_function_are_told() -> None:
    (alarm,) = (each for each in ALARMS.values() if each["MetricName"] == "Throttles")
    assert (alarm["Namespace"], "Dimensions" in alarm) == ("AWS/Lambda", False)


def test_the_api_tells_of_server_errors_and_slow_answers() -> None:
    found = {(alarm["Namespace"], alarm["MetricName"]) for alarm in ALARMS.values()}
    assert {("AWS/ApiGateway", "5XXError"), ("AWS/ApiGateway", "Latency")} <= found


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_tells_the_topic_says_what_it_means_and_has_its_place_in_the_runbook(name: str) -> None:
    alarm = ALARMS[name]
    assert alarm["AlarmActions"] == [{"Ref": "AlarmsTopic"}]
    assert alarm["AlarmDescription"]
    assert alarm["TreatMissingData"] in ("notBreaching", "ignore")
    assert re.search(rf"^### .*\b{name}\b", RUNBOOK, re.MULTILINE)


def test_alarms_and_graphs_are_of_metrics_that_are_published_for_this_stack() -> None:
    for alarm in ALARMS.values():
        if alarm["Namespace"] == NAMESPACE:
            assert alarm["MetricName"] in METRICS
            assert alarm["Dimensions"] == [{"Name": "service", "Value": {"Ref": "Stack"}}]
    variables = template.document_of(ROOT / "template.yaml")["Globals"]["Function"]["Environment"]["Variables"]
    assert variables["POWERTOOLS_SERVICE_NAME"] == {"Fn::Sub": "${AWS::StackName}"}


def test_the_dashboard_shows_every_metric_that_is_published() -> None:
    widgets = json.loads(OPERATIONS["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"])["widgets"]
    rows = [row for widget in widgets for row in widget["properties"]["metrics"]]
    assert {cell for row in rows for cell in row if isinstance(cell, str)} >= METRICS


def test_no_log_level_silences_the_metrics() -> None:
    # They are lines that Lambda takes for INFO.
    levels = template.document_of(ROOT / "template.yaml")["Parameters"]["LogLevel"]["AllowedValues"]
    assert set(levels) <= {"TRACE", "DEBUG", "INFO"}


def test_the_drift_check_derives_documents_as_the_index_function_does() -> None:
    variables = {name: FUNCTIONS[name]["Environment"]["Variables"] for name in ("IndexFunction", "CheckDriftFunction")}
    calls = {"EMBEDDINGS_API_KEY", "EMBEDDINGS_TIMEOUT_S"}  # it embeds nothing
    deriving = {
        name: value
        for name, value in variables["IndexFunction"].items()
        if name.startswith(("EMBED", "OPENSEARCH")) and name not in calls
    }
    assert deriving.items() <= variables["CheckDriftFunction"].items()


def test_the_cost_calculator_reckons_with_as_many_alarms_as_there_are() -> None:
    assert Month().alarms == len(ALARMS)
