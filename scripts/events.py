"""Write a sample event into ``events/`` for each trigger of the template that has none; ``--all`` writes them anew.

They are what tests hand to the functions, and what ``sam local invoke <Function> -e events/<name>.json`` takes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from hashlib import md5
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

from annals.access.caller import SCOPES, Caller
from local import events, template
from local.events import Match, Request
from local.template import ROOT

FOLDER = ROOT / "events"
REQUEST_ID = "00000000-0000-4000-8000-000000000000"
TIME_MS = 1_767_225_600_000
CALLER = {**Caller("local", "root", frozenset(SCOPES)).to_authorizer(), "principalId": "root"}

PATH_PARAMETERS = {
    "conversationId": "lisbon",
    "messageId": "msg-001",
    "keyId": "key-0123456789abcdef",
    "receiptId": "receipt-0123456789abcdef",
    "memoryId": "mem:lisbon:1",
    "factId": "fact-0123456789abcdef0123",
    "sha256": "b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c",
    "streamId": "stream-0123456789abcdef01234567",
    "userId": "ada",
    "externalId": "profile%2F7",
    "runId": "run%2F7",
    "memorySpaceId": "demo",
    "number": "1",
    "proxy": "v1/nowhere",
}
TURN = {"memorySpaceId": "demo", "conversationId": "lisbon", "userId": "ada", "userMessage": "What may I not eat?"}
PARTICIPANTS = {"type": "user-agent", "participants": {"userId": "ada", "memorySpaceId": "demo"}}
ALLERGY = {"subject": "Ada", "predicate": "is allergic to", "object": "peanuts"}
FACT = {"fact": "Ada is allergic to peanuts.", "factType": "health", "confidence": 95, **ALLERGY}
STORED_TURN = {"memorySpaceId": "demo", "conversationId": "lisbon", "messageIds": ["msg-001", "msg-002"]}
IMPORTED = {"messages": [{"role": "user", "content": "I am allergic to peanuts."}]}
PART = {"sha256": PATH_PARAMETERS["sha256"], "size": 4, "mediaType": "image/png"}
DOCUMENT = {"collection": "profiles", "namespace": ["travel"], "key": "seats", "userId": "ada"}
BODIES: Mapping[str, Any] = {
    "POST /v1/keys": {"name": "assistant", "scopes": ["read", "write"], "memorySpaces": ["demo"]},
    "POST /v1/conversations": {**PARTICIPANTS, "conversationId": "porto", "metadata": {"topic": "travel"}},
    "PUT /v1/conversations/by-participants": PARTICIPANTS,
    "PUT /v1/conversations/by-session": {"sessionId": "trip/7", **PARTICIPANTS},
    "PUT /v1/conversations/{conversationId}/runs/{runId}": {
        "status": "completed",
        "agentId": "guide",
        "data": {"model": "small", "tokens": {"input": 120, "output": 30}},
    },
    "PATCH /v1/conversations/{conversationId}": {"metadata": {"topic": "travel"}},
    "POST /v1/conversations/delete-many": {"filter": {"participants": {"userId": "ada"}}, "dryRun": True},
    "POST /v1/conversations/import": IMPORTED,
    "POST /v1/conversations/search": {"query": "peanuts"},
    "POST /v1/conversations/{conversationId}/messages": {
        "role": "user",
        "content": "And no peanuts, please.",
        "externalId": "order/7",
        "conversation": {**PARTICIPANTS, "metadata": {"topic": "travel"}},
    },
    "PUT /v1/conversations/{conversationId}/messages/{messageId}": {
        "role": "assistant",
        "content": "I keep that in mind.",
        "revision": 1,
        "onExpiry": "keep",
    },
    "POST /v1/conversations/{conversationId}/messages/get-many": {"messageIds": ["msg-001", "msg-002"]},
    "POST /v1/conversations/{conversationId}/messages/{messageId}/redact": {"reason": "Asked for by the user"},
    "POST /v1/conversations/{conversationId}/preamble": {"content": "Ada plans a journey to Lisbon."},
    "POST /v1/conversations/{conversationId}/archive": {"before": 2},
    "POST /v1/conversations/{conversationId}/rewind": {"toSeq": 2},
    "POST /v1/conversations/{conversationId}/summarize": {},
    "POST /v1/parts": PART,
    "POST /v1/memories": {"memorySpaceId": "demo", "userId": "ada", "content": "Ada is allergic to peanuts."},
    "POST /v1/memories/delete-many": {"filter": {"userId": "ada"}, "dryRun": True},
    "POST /v1/facts": {"memorySpaceId": "demo", "userId": "ada", **FACT},
    "PATCH /v1/memories/{memoryId}": {"importance": 90},
    "PUT /v1/memories/by-external-id/{externalId}": {
        "memorySpaceId": "demo",
        "userId": "ada",
        "content": "Ada is allergic to peanuts.",
    },
    "POST /v1/users/{userId}/memories": {"memory": "Prefers window seats.", "topics": ["travel"]},
    "POST /v1/users/{userId}/memories/search": {"method": "last_n", "limit": 5},
    "PUT /v1/users/{userId}/memories/by-external-id/{externalId}": {"memory": "Prefers window seats."},
    "PATCH /v1/users/{userId}/memories/{memoryId}": {"topics": ["travel", "seats"]},
    "PUT /v1/spaces/{memorySpaceId}": {"name": "Demo", "participants": [{"participantId": "ada", "type": "person"}]},
    "PUT /v1/documents": {**DOCUMENT, "value": {"seat": "window", "diet": "no peanuts"}, "ttlSeconds": 86_400},
    "POST /v1/documents/batch": {
        "operations": [
            {"op": "put", **DOCUMENT, "value": {"seat": "aisle"}, "ifVersion": 0},
            {"op": "get", **DOCUMENT},
        ],
    },
    "POST /v1/documents/list": {"collection": "profiles", "userId": "ada", "namespacePrefix": ["travel"]},
    "POST /v1/documents/namespaces": {"collection": "profiles", "userId": "ada", "maxDepth": 1},
    "POST /v1/documents/delete-many": {"collection": "profiles", "userId": "ada"},
    "POST /v1/a2a/messages": {"from": "planner", "to": "booker", "text": "Book the flight of 3 May."},
    "POST /v1/memory/remember": {**TURN, "agentResponse": "Peanuts."},
    "POST /v1/memory/remember-facts": {**STORED_TURN, "extractFacts": True},
    "POST /v1/memory/remember-stream": TURN,
    "POST /v1/memory/search": {"memorySpaceId": "demo", "query": "peanut allergy", "limit": 5},
    "POST /v1/memory/recall": {"memorySpaceId": "demo", "query": "peanut allergy", "limit": 5},
}
QUERIES = {
    "GET /v1/conversations/by-session": "sessionId=trip%2F7&userId=ada&memorySpaceId=demo",
    "GET /v1/conversations/{conversationId}/context": "maxTokens=500",
    "GET /v1/conversations/{conversationId}/export": "format=ledger",
    "GET /v1/conversations/export": "format=jsonl&participants.userId=ada",
    "GET /v1/memories/by-external-id/{externalId}": "memorySpaceId=demo&userId=ada",
    "DELETE /v1/memories/by-external-id/{externalId}": "memorySpaceId=demo&userId=ada",
    "GET /v1/memories/export": "format=jsonl&userId=ada&includeVersions=true",
    "POST /v1/conversations/import": "memorySpaceId=demo&userId=ada",
    "GET /v1/documents": "collection=profiles&namespace=%5B%22travel%22%5D&key=seats&userId=ada",
    "DELETE /v1/documents": "collection=profiles&namespace=%5B%22travel%22%5D&key=seats&userId=ada",
}


def samples() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each trigger's name, ``<function>-<event>``, and a sample of what it sends."""
    resources = template.document_of(ROOT / "template.yaml")["Resources"]
    described = template.read()
    yield f"{described.authorizer}-request", _authorizer_event(described)
    for part in resources.values():
        properties = part.get("Properties", {})
        for name, event in properties.get("Events", {}).items():
            function = Path(properties["CodeUri"]).name
            yield f"{function}-{_kebab(name)}", _sample(described, event["Type"], event["Properties"])
            if event["Type"] == "SQS":
                yield f"{function}-sns", _queue_event(_notification(json.dumps(ENVELOPE)))


def _sample(described: template.Template, kind: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    if kind == "DynamoDB":
        return _stream_event(properties["Stream"]["Fn::GetAtt"][0], str(properties.get("FilterCriteria")))
    if kind == "Api":
        return _proxy_event(described, properties["Method"], properties["Path"])
    if kind == "SQS":
        return _queue_event(json.dumps(ENVELOPE))
    if kind == "Schedule":
        return {"id": REQUEST_ID, "source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}
    if kind == "EventBridgeRule":
        return _bus_event(ENVELOPE)
    if kind == "S3":
        return _bucket_event(TRANSCRIPT_KEY, TRANSCRIPT)
    raise SystemExit(f"scripts/events.py knows no sample for a trigger of type {kind}.")


def _proxy_event(described: template.Template, method: str, resource: str) -> dict[str, Any]:
    body = BODIES.get(f"{method} {resource}")
    request, route_match = _request(described, method, resource, json.dumps(body) if body is not None else "")
    event = events.proxy_event(request, route_match, CALLER if route_match.route.authorized else None)
    event["requestContext"]["requestTimeEpoch"] = TIME_MS
    return event


def _authorizer_event(described: template.Template) -> dict[str, Any]:
    event = events.authorizer_event(*_request(described, "GET", "/v1/conversations", ""))
    event["requestContext"]["requestTimeEpoch"] = TIME_MS
    return event


def _request(described: template.Template, method: str, resource: str, body: str) -> tuple[Request, Match]:
    path = resource.replace("+}", "}").format_map(PATH_PARAMETERS)
    headers = [("Host", "127.0.0.1"), ("User-Agent", "sample"), ("Authorization", "Bearer local")]
    headers += [("Content-Type", "application/json")] if body else []
    query = QUERIES.get(f"{method} {resource}", "")
    sent = "GET" if method == "ANY" else method
    request = Request(sent, path, query, tuple(headers), body.encode(), "127.0.0.1", REQUEST_ID)
    [route] = [route for route in described.routes if (route.method, route.resource) == (method, resource)]
    named = {
        part.strip("{+}"): PATH_PARAMETERS[part.strip("{+}")] for part in resource.split("/") if part.startswith("{")
    }
    return request, Match(route, named)


KEYS = {
    "RECEIPT": {"pk": {"S": "T#local#R#receipt-0123456789abcdef"}, "sk": {"S": "RECEIPT"}},
    "M#": {"pk": {"S": "T#local#C#lisbon"}, "sk": {"S": "M#000000000001"}},
    "": {"pk": {"S": "T#local#C#lisbon"}, "sk": {"S": "E#000000000001"}},
}
"""The keys of a sample record, by a word that its trigger's filter holds."""


def _stream_event(table: str, filters: str) -> dict[str, Any]:
    keys = next(keys for word, keys in KEYS.items() if word in filters)
    record = {
        "eventID": "0123456789abcdef0123456789abcdef",
        "eventName": "INSERT" if table == "LedgerTable" else "MODIFY",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "us-east-1",
        "dynamodb": {
            "ApproximateCreationDateTime": TIME_MS / 1000,
            "Keys": keys,
            "SequenceNumber": "100000000000000000001",
            "SizeBytes": 34,
            "StreamViewType": "KEYS_ONLY",
        },
        "eventSourceARN": f"arn:aws:dynamodb:us-east-1:000000000000:table/{table}/stream/2026-01-01T00:00:00.000",
    }
    return {"Records": [record]}


ENVELOPE = {
    "conversation": {"conversationId": "faro", **PARTICIPANTS},
    "messages": [
        {"role": "user", "content": "Which trains go to Faro?", "userId": "ada"},
        {"role": "assistant", "content": "One at nine, one at noon."},
    ],
}


TRANSCRIPT = json.dumps(ENVELOPE).encode() + b"\n"
TRANSCRIPT_KEY = "transcripts/May 2026.jsonl"


def _queue_event(body: str) -> dict[str, Any]:
    record = {
        "messageId": REQUEST_ID,
        "receiptHandle": "receipt",
        "body": body,
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": str(TIME_MS),
            "SequenceNumber": "18800000000000000000",
            "MessageGroupId": "faro",
            "MessageDeduplicationId": "faro-1",
            "SenderId": "000000000000",
            "ApproximateFirstReceiveTimestamp": str(TIME_MS),
        },
        "messageAttributes": {},
        "md5OfBody": _md5(body.encode()),
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:annals-IngestQueue.fifo",
        "awsRegion": "us-east-1",
    }
    return {"Records": [record]}


def _notification(message: str) -> str:
    """What SNS puts into a queue whose subscription does not ask for raw messages."""
    notification = {
        "Type": "Notification",
        "MessageId": "11111111-1111-4111-8111-111111111111",
        "SequenceNumber": "10000000000000000000",
        "TopicArn": "arn:aws:sns:us-east-1:000000000000:transcripts.fifo",
        "Message": message,
        "Timestamp": "2026-01-01T00:00:00.000Z",
    }
    return json.dumps(notification)


def _bus_event(detail: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "version": "0",
        "id": "22222222-2222-4222-8222-222222222222",
        "detail-type": "annals.ingest",
        "source": "planner",
        "account": "000000000000",
        "time": "2026-01-01T00:00:00Z",
        "region": "us-east-1",
        "resources": [],
        "detail": detail,
    }


def _bucket_event(key: str, content: bytes) -> dict[str, Any]:
    etag = _md5(content)
    named = {"key": quote_plus(key, safe="/"), "size": len(content), "eTag": etag, "sequencer": "0055AED6DCD90281E5"}
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": "2026-01-01T00:00:00.000Z",
        "eventName": "ObjectCreated:Put",
        "s3": {
            "s3SchemaVersion": "1.0",
            "bucket": {"name": "annals-ingest", "arn": "arn:aws:s3:::annals-ingest"},
            "object": named,
        },
    }
    return {"Records": [record]}


def _md5(content: bytes) -> str:
    return md5(content, usedforsecurity=False).hexdigest()


def _kebab(name: str) -> str:
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("-")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m scripts.events", description=__doc__)
    parser.add_argument("--all", action="store_true", help="write those that are there, too")
    rewrite = parser.parse_args().all
    FOLDER.mkdir(exist_ok=True)
    for name, event in samples():
        path = FOLDER / f"{name}.json"
        if rewrite or not path.exists():
            path.write_text(json.dumps(event, indent=2) + "\n")
            sys.stdout.write(f"wrote {path.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
