"""Parts that are stored beside their messages: uploaded, put back, and written into files, by both clients."""

from __future__ import annotations

import asyncio
import filecmp
import io
import json
import resource
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from annals_client import InvalidArgument, NotFound, ValidationFailed
from annals_client.testing import Sandbox
from tests.support.blobs import MB, image, no_compression
from tests.support.databases import require_dynoxide

Run = Callable[[Callable[[Any], Any]], Any]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    require_dynoxide()
    with Sandbox() as running:
        yield running


@pytest.fixture(params=["waiting", "asyncio"])
def run(request: pytest.FixtureRequest, sandbox: Sandbox) -> Run:
    """Has a client of either kind do something that is written once: each call's result is what it answers."""
    key = sandbox.new_key()

    def waiting(do: Callable[[Any], Any]) -> Any:
        with sandbox.client(key) as client:
            return do(client)

    def by_asyncio(do: Callable[[Any], Any]) -> Any:
        async def main() -> Any:
            async with sandbox.async_client(key) as client:
                return await do(client)

        return asyncio.run(main())

    return waiting if request.param == "waiting" else by_asyncio


def create(run: Run) -> str:
    made = run(lambda annals: annals.conversations.create(user_id="ada", memory_space_id="demo"))
    return str(made.conversation_id)


def test_a_large_file_is_not_held_in_memory(run: Run, tmp_path: Path) -> None:
    path, saved = tmp_path / "film.mp4", tmp_path / "saved.mp4"
    with path.open("wb") as file:
        for number in range(60):
            file.write(no_compression(MB // 16, number) * 16)
    conversation = create(run)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    part = run(lambda annals: annals.messages.upload(path))
    assert part["$annalsPart"]["mediaType"] == "video/mp4"
    run(lambda annals: annals.messages.append(conversation, role="user", content="See", parts=[{"video": part}]))
    stored = run(lambda annals: annals.messages.get(conversation, "msg-001")).parts[0]["video"]
    assert run(lambda annals: annals.messages.download(conversation, "msg-001", stored, saved)) == 60 * MB
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30 * 1024
    assert filecmp.cmp(path, saved, shallow=False)
    verified = run(lambda annals: annals.conversations.verify(conversation, parts=True))
    assert (verified.valid, verified.parts.checked) == (True, 1)


def test_a_larger_file_is_refused(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    with path.open("wb") as file:
        file.truncate(100_000_001)
    with pytest.raises(ValidationFailed) as refused:
        run(lambda annals: annals.messages.upload(path))
    assert (refused.value.status, refused.value.field) == (413, "size")


class Once(io.RawIOBase):
    """A file that can be read only once, as a pipe."""

    def __init__(self, data: bytes) -> None:
        self._rest = data

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        taken = self._rest[: len(buffer)]
        self._rest = self._rest[len(taken) :]
        buffer[: len(taken)] = taken
        return len(taken)


DATA, TEXT = image(3_000)
SOURCES: dict[str, Callable[[Path], Any]] = {
    "bytes": lambda _: DATA,
    "a bytearray": lambda _: bytearray(DATA),
    "a path": lambda path: path,
    "a path as text": str,
    "a file": lambda path: path.open("rb"),
    "a file in memory": lambda _: io.BytesIO(DATA),
    "a file that is read only once": lambda _: Once(DATA),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_any_source_of_bytes_can_be_uploaded(run: Run, tmp_path: Path, source: Callable[[Path], Any]) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(DATA)
    part = run(lambda annals: annals.messages.upload(source(path), media_type="image/png"))
    fields = part["$annalsPart"]
    assert (fields["sha256"], fields["size"]) == (sha256(DATA).hexdigest(), 3_000)


def test_a_file_is_uploaded_from_where_it_is(run: Run) -> None:
    file = io.BytesIO(b"head" + DATA)
    file.seek(4)
    assert run(lambda annals: annals.messages.upload(file))["$annalsPart"]["size"] == 3_000
    assert not file.closed


def test_what_holds_no_bytes_is_refused(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("x")
    for source in (None, 7, io.StringIO("x"), path.open()):
        with pytest.raises(TypeError):
            run(lambda annals, source=source: annals.messages.upload(source))
    with pytest.raises(FileNotFoundError):
        run(lambda annals: annals.messages.upload(tmp_path / "none"))


def test_a_message_comes_back_as_it_was_sent(run: Run) -> None:
    conversation = create(run)
    large = image(MB)[1]
    parts = {"tool_calls": [{"id": "1", "function": {"name": "f", "arguments": json.dumps({"image": large})}}]}
    content = "quokka " * 70_000
    run(lambda annals: annals.messages.append(conversation, role="tool", content=content, parts=parts))
    shown = run(lambda annals: annals.messages.get(conversation, "msg-001"))
    assert "$annalsPart" in str(shown.parts)
    assert content.startswith(shown.content)
    whole = run(lambda annals: annals.messages.get(conversation, "msg-001", parts=True))
    assert (whole.content, whole.parts, whole.content_part) == (content, parts, None)
    assert run(lambda annals: annals.messages.restore(conversation, shown)) == whole


def test_a_message_without_such_parts_comes_back_in_one_request(run: Run) -> None:
    conversation = create(run)
    run(lambda annals: annals.messages.append(conversation, role="user", content="small", parts=["x"]))
    assert run(lambda annals: annals.messages.get(conversation, "msg-001", parts=True)).parts == ["x"]


def test_a_part_of_a_redacted_message_is_not_found(run: Run, tmp_path: Path) -> None:
    conversation = create(run)
    part = run(lambda annals: annals.messages.upload(DATA))
    run(lambda annals: annals.messages.append(conversation, role="user", content="x", parts=[part]))
    shown = run(lambda annals: annals.messages.get(conversation, "msg-001"))
    run(lambda annals: annals.messages.redact(conversation, "msg-001", reason="r"))
    with pytest.raises(NotFound):
        run(lambda annals: annals.messages.restore(conversation, shown))
    with pytest.raises(NotFound):
        run(lambda annals: annals.messages.download(conversation, "msg-001", shown.parts[0], tmp_path / "x"))
    assert not list(tmp_path.iterdir())


def test_what_is_no_part_is_refused_before_anything_is_sent(run: Run, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument):
        run(lambda annals: annals.messages.download("c", "msg-001", {"type": "image"}, tmp_path / "x"))
