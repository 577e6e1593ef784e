"""A user of whom there is everything that can be, made over the API; and looking for what is left of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from annals.settings import settings
from tests.support.api import Api, Reply
from tests.support.blobs import no_compression
from tests.support.crashes import items_of, let_streams_finish
from tests.support.indexing import Stream

ID = "ada-lovelace"
USER = f"/v1/users/{ID}"
WORD = "tulip"
FACT = {"factType": "knowledge", "confidence": 90, "predicate": "likes", "object": f"a {WORD}", "fact": f"A {WORD}."}


def ok(answer: Reply) -> Any:
    assert answer.status in (200, 201), answer.body
    return answer.json


def everything(api: Api) -> dict[str, int]:
    """All that there can be of her, among things of Byron's. What an erasure's receipt counts."""
    people = [{"participantId": ID, "type": "person", "name": WORD}, {"participantId": "byron", "type": "person"}]
    ok(api.put("/v1/spaces/home", {"name": "Home", "participants": people}))
    _own_conversations(api)
    _in_the_conversation_of_another(api)
    _memories(api)
    _documents(api)
    return {"conversations": 2, "messages": 5, "memories": 3 + 5, "facts": 3, "spaces": 1, "documents": 4}


def _own_conversations(api: Api) -> None:
    """One with a preamble, a changed memory, a fact, a memory of others, and a holder; and another one."""
    talk(api, "hers", ID)
    ok(api.put("/v1/conversations/by-participants", {"type": "user-agent", "participants": participants(ID)}))
    for number in range(2):
        say(api, "hers", f"My {WORD} {number}.", userId=ID, metadata={"topics": [WORD]})
    ok(api.put("/v1/conversations/hers/runs/r-1", {"status": "failed", "error": f"No {WORD}.", "data": {"of": WORD}}))
    ok(api.post("/v1/conversations/hers/preamble", {"content": f"So far: a {WORD}."}))
    ok(api.patch("/v1/memories/mem:hers:1", {"content": f"One {WORD}."}))
    ref = {"conversationId": "hers", "messageIds": ["msg-001"]}
    ok(api.post("/v1/facts", {**FACT, "memorySpaceId": "home", "userId": ID, "subject": "one", "sourceRef": ref}))
    memory = {"memorySpaceId": "home", "agentId": "helper", "contentType": "summarized", "conversationRef": ref}
    ok(api.post("/v1/memories", {**memory, "content": f"Somebody has a {WORD}."}))
    (hers_too,) = [
        item["conversationId"] for item in ok(api.get("/v1/conversations"))["items"] if item["conversationId"] != "hers"
    ]
    say(api, hers_too, f"Another {WORD}.")
    ok(api.get("/v1/conversations/hers/analytics"))


def _in_the_conversation_of_another(api: Api) -> None:
    """Two messages, one of which was deleted as a memory, the other changed as one; a fact and a memory of hers."""
    talk(api, "his", "byron")
    say(api, "his", "Mine.")
    say(api, "his", f"I have a {WORD}.", userId=ID, metadata={"topics": [WORD]})
    say(api, "his", f"It is my {WORD}.", userId=ID)
    assert api.delete("/v1/memories/mem:his:2").status == 204
    ok(api.get("/v1/conversations/his/analytics"))
    ref = {"conversationId": "his", "messageIds": ["msg-001"]}
    ok(api.post("/v1/facts", {**FACT, "memorySpaceId": "home", "userId": ID, "subject": "two", "sourceRef": ref}))
    memory = {"memorySpaceId": "home", "userId": ID, "contentType": "summarized", "conversationRef": ref}
    ok(api.post("/v1/memories", {**memory, "content": f"Told of a {WORD}."}))


def _memories(api: Api) -> None:
    """Her own ones, one archived and one with a version before and a marker; an explicit one, and a fact."""
    first = ok(api.post(f"{USER}/memories", {"memory": f"Has a {WORD}.", "input": WORD}, idempotency_key="once"))
    ok(api.patch(f"{USER}/memories/{first['memoryId']}", {"memory": f"Had a {WORD}."}))
    second = ok(api.post(f"{USER}/memories", {"memory": f"Wants a {WORD}.", "memorySpaceId": "home"}))
    ok(api.post(f"/v1/memories/{second['memoryId']}/archive"))
    ok(api.post("/v1/memories", {"memorySpaceId": "home", "userId": ID, "content": f"Likes a {WORD}."}))
    ok(api.post("/v1/facts", {**FACT, "memorySpaceId": "home", "userId": ID, "subject": "three"}))


def _documents(api: Api) -> None:
    """A large one of her own; in a space, of an agent, in each conversation, one of hers; and one that is gone."""
    large = no_compression(500_000).hex() if settings().blobs_folder else ""
    owners = [{"memorySpaceId": "home"}, {"agentId": "helper"}, {"conversationId": "hers"}, {"conversationId": "his"}]
    for owner in owners:
        document = {"collection": "state", "namespace": [WORD], "key": WORD, "userId": ID, **owner}
        ok(api.put("/v1/documents", {**document, "value": [WORD]}))
        ok(api.put("/v1/documents", {**document, "value": {WORD: WORD}, "ifVersion": 1}))
    ok(api.put("/v1/documents", {"collection": "state", "key": WORD, "userId": ID, "value": [WORD, large]}))
    ok(
        api.put(
            "/v1/documents", {"collection": "state", "key": "gone", "agentId": "helper", "userId": ID, "value": WORD}
        )
    )
    ok(api.delete("/v1/documents?collection=state&key=gone&agentId=helper"))


def participants(user_id: str) -> dict[str, str]:
    return {"userId": user_id, "memorySpaceId": "home"}


def talk(api: Api, name: str, user_id: str) -> None:
    new = {"type": "user-agent", "participants": participants(user_id), "conversationId": name}
    ok(api.post("/v1/conversations", {**new, "metadata": {"of": user_id}}))


def say(api: Api, name: str, content: str, **more: Any) -> None:
    ok(api.post(f"/v1/conversations/{name}/messages", {"role": "user", "content": content, **more}))


def deliver(api: Api, stream: Stream) -> None:
    """Let the stream functions and the index see all that is there."""
    let_streams_finish(api.caller.tenant)
    stream.deliver()
    stream.deliver_ledger()


def in_tables(api: Api, *words: str) -> list[str]:
    """What of some words the tables hold of a tenant, keys too."""
    tables = (settings().ledger_table, settings().state_table)
    items = [str(item) for table in tables for item in items_of(api.caller.tenant, table)]
    return [f"{word} in {item}" for word in words for item in items if word in item]


def in_files(folder: Path, *words: str) -> list[str]:
    """What of some words any file of a folder holds."""
    held = b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
    return [word for word in words if word.encode() in held]


def exported(api: Api) -> list[dict[str, Any]]:
    """The lines of her export."""
    answer = api.get(f"{USER}/export")
    assert answer.status == 200, answer.body
    return [json.loads(line) for line in answer.body.decode().splitlines()]
