"""Requests become API Gateway's events, and functions' answers become HTTP."""

from __future__ import annotations

import json

import pytest

from local import events, template
from local.events import BadAnswer, Match, Request
from local.template import Route

ROUTES = template.read().routes


def request(method: str = "GET", path: str = "/v1/conversations", query: str = "", body: bytes = b"") -> Request:
    headers = (("host", "127.0.0.1"), ("x-tag", "a"), ("x-tag", "b"), ("user-agent", "tests"))
    return Request(method, path, query, headers, body, "127.0.0.1", "request-1")


def find_match(method: str, path: str) -> Match:
    match = events.match(ROUTES, method, path)
    assert match is not None
    return match


@pytest.mark.parametrize(
    ("method", "path", "resource"),
    [
        ("GET", "/v1/health", "/v1/health"),
        ("GET", "/v1/conversations/", "/v1/conversations"),
        ("GET", "/v1/conversations/c-1", "/v1/conversations/{conversationId}"),
        ("PUT", "/v1/conversations/by-participants", "/v1/conversations/by-participants"),
        ("GET", "/v1/conversations/x%2Fverify", "/v1/conversations/{conversationId}"),
        ("GET", "/", "/"),
        ("GET", "/nope/at/all", "/{proxy+}"),
    ],
)
def test_the_most_literal_path_takes_a_request(method: str, path: str, resource: str) -> None:
    assert find_match(method, path).route.resource == resource


@pytest.mark.parametrize(
    ("method", "path"), [("DELETE", "/v1/conversations"), ("GET", "/v1/conversations/by-participants")]
)
def test_a_method_that_the_path_lacks_falls_through_to_the_proxy(method: str, path: str) -> None:
    assert find_match(method, path).route.resource == "/{proxy+}"


def test_without_a_proxy_a_wrong_method_finds_nothing() -> None:
    routes = [Route("GET", "/v1/health", "fallback", False, False, 5)]
    assert events.match(routes, "POST", "/v1/health") is None


def test_path_parameters_stay_encoded() -> None:
    match = find_match("GET", "/v1/conversations/a%20b/messages/msg-001")
    assert match.parameters == {"conversationId": "a%20b", "messageId": "msg-001"}


def test_the_proxy_parameter_is_the_rest_of_the_path() -> None:
    assert find_match("GET", "/a/b%2Fc").parameters == {"proxy": "a/b%2Fc"}


def test_an_event_has_what_powertools_and_functions_read() -> None:
    new_request = request("POST", "/v1/conversations/a%20b/messages", "x=1&x=2&empty=&y=%C3%A4+z", '{"é": 1}'.encode())
    event = events.proxy_event(new_request, find_match("POST", new_request.path), {"tenant": "acme"})
    assert event["path"] == "/v1/conversations/a%20b/messages"
    assert event["resource"] == "/v1/conversations/{conversationId}/messages"
    assert event["multiValueHeaders"]["x-tag"] == ["a", "b"]
    assert event["headers"]["x-tag"] == "b"
    assert event["multiValueQueryStringParameters"] == {"x": ["1", "2"], "empty": [""], "y": ["ä z"]}
    assert event["queryStringParameters"] == {"x": "2", "empty": "", "y": "ä z"}
    assert (event["body"], event["isBase64Encoded"]) == ('{"é": 1}', False)
    context = event["requestContext"]
    assert context["authorizer"] == {"tenant": "acme"}
    assert context["requestId"] == "request-1"
    assert context["identity"] == {"sourceIp": "127.0.0.1", "userAgent": "tests"}
    assert (context["resourcePath"], context["httpMethod"]) == (event["resource"], "POST")


def test_what_is_absent_is_null_as_in_api_gateway() -> None:
    event = events.proxy_event(request(), find_match("GET", "/v1/conversations"))
    names = ("body", "queryStringParameters", "multiValueQueryStringParameters", "pathParameters", "stageVariables")
    assert [event[name] for name in names] == [None] * 5
    assert "authorizer" not in event["requestContext"]


def test_a_body_that_is_no_text_is_base64() -> None:
    event = events.proxy_event(request(body=b"\xff\x00"), find_match("POST", "/v1/conversations"))
    assert (event["body"], event["isBase64Encoded"]) == ("/wA=", True)


def test_the_authorizer_is_asked_about_the_method_and_path() -> None:
    event = events.authorizer_event(request("GET", "/v1/keys"), find_match("GET", "/v1/keys"))
    assert event["type"] == "REQUEST"
    assert event["methodArn"].endswith(":local/local/GET/v1/keys")
    assert "body" not in event


@pytest.mark.parametrize(
    ("effects", "allowed"),
    [([("Allow", "*")], True), ([("Deny", "*")], False), ([("Allow", "*"), ("Deny", "*")], False), ([], False)],
)
def test_a_policy_allows_what_it_allows_and_does_not_deny(effects: list[tuple[str, str]], allowed: bool) -> None:
    statements = [{"Effect": effect, "Action": "execute-api:Invoke", "Resource": part} for effect, part in effects]
    assert events.allows({"policyDocument": {"Statement": statements}}, request()) is allowed


def test_a_policy_of_another_route_does_not_allow_this_one() -> None:
    statement = {"Effect": "Allow", "Resource": [f"{events.API_ARN}/GET/v1/keys"]}
    answer = {"policyDocument": {"Statement": [statement]}}
    assert events.allows(answer, request(path="/v1/keys"))
    assert not events.allows(answer, request(path="/v1/conversations"))


def test_functions_see_an_authorizers_values_as_text() -> None:
    answer = {"principalId": "key-1", "context": {"tenant": "acme", "admin": True, "count": 3, "none": None}}
    expected = {"principalId": "key-1", "tenant": "acme", "admin": "true", "count": "3", "none": None}
    assert events.caller_context(answer) == expected


def test_an_answer_keeps_repeated_headers_and_binary_bodies() -> None:
    result = {
        "statusCode": 201,
        "headers": {"ETag": '"1"'},
        "multiValueHeaders": {"Set-Cookie": ["a", "b"]},
        "body": "/wA=",
        "isBase64Encoded": True,
    }
    answer = events.to_answer(result)
    assert (answer.status, answer.body) == (201, b"\xff\x00")
    assert answer.headers == (("ETag", '"1"'), ("Set-Cookie", "a"), ("Set-Cookie", "b"))


@pytest.mark.parametrize("result", [None, "text", {}, {"statusCode": "200"}])
def test_an_answer_that_api_gateway_does_not_understand_is_an_error(result: object) -> None:
    with pytest.raises(BadAnswer):
        events.to_answer(result)


def test_a_result_of_more_than_lambda_sends_is_an_error_however_it_is_escaped() -> None:
    room = events.MAX_RESULT_BYTES - len(json.dumps({"statusCode": 200, "body": ""}))
    assert events.to_answer({"statusCode": 200, "body": "x" * room}).status == 200
    for body in ("x" * (room + 1), '"' * (room // 2 + 1), "é" * (room // 2 + 1)):
        with pytest.raises(BadAnswer, match="than the 6291556 that Lambda sends"):
            events.to_answer({"statusCode": 200, "body": body})


def test_an_event_over_lambdas_limit_is_too_large_however_it_is_escaped() -> None:
    assert not events.is_too_large({"body": "x" * 6_000_000})
    assert events.is_too_large({"body": "x" * 6_300_000})
    assert events.is_too_large({"body": "\x00" * 1_100_000})
    assert not events.is_too_large({"body": None})


@pytest.mark.parametrize("kind", ["UNAUTHORIZED", "ACCESS_DENIED", "REQUEST_TOO_LARGE", "INTEGRATION_FAILURE"])
def test_api_gateways_own_answers_are_the_templates(kind: str) -> None:
    answer = events.gateway_answer(template.read().gateway_responses, kind, "request-1")
    problem = json.loads(answer.body)
    assert problem["requestId"] == "request-1"
    assert problem["status"] == answer.status
    assert ("Content-Type", "application/problem+json") in answer.headers


def test_a_message_in_api_gateways_answer_is_escaped() -> None:
    responses = template.read().gateway_responses
    answer = events.gateway_answer(responses, "DEFAULT_4XX", "request-1", 'a "quoted" \\1 word')
    assert json.loads(answer.body)["detail"] == 'a "quoted" \\1 word'
