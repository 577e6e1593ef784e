"""Everything that runs under `make dev`, put together, started and stopped."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import uvicorn
from botocore.config import Config
from starlette.applications import Starlette
from starlette.routing import Route

from annals.blobs.folder import FolderStore
from local import database, environment, ministack, tables, template
from local.blobs import BlobRoutes, UploadExpiry
from local.database import Unusable
from local.emulator import EmulatorFailed
from local.environment import CannotStart
from local.expiry import Expiry
from local.gateway import create_app
from local.queue import FAILURES, QUEUE, STREAM_FAILURES, QueueReader, queue_url
from local.streams import USUAL, Invoke, Pace, StreamReaders
from local.template import ROOT, Template
from local.wakeup import Wakeup, ring_on_writes
from local.workers import Workers, load

log = logging.getLogger("annals")
FOLLOWERS = 2
"""How many batches of the streams are worked on at once, beside the requests."""
FOLLOWERS_NICENESS = 10
"""By how much they give way to requests, on a machine that has too few cores for both."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    port: int
    data: Path
    workers: int
    events: bool = False


def serve(options: Options) -> None:
    """Run until SIGINT, SIGTERM or SIGHUP. Raises CannotStart."""
    described = template.read()
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(_listen(options.port))
        stack.enter_context(_data_folder(options.data))
        environment.set_defaults(os.environ, options.data, described)
        stack.enter_context(_database(options.data, described))
        queues = stack.enter_context(_queues(options.data)) if options.events else None
        create_tables(described)
        written = Wakeup()
        workers = Workers(options.workers, written)
        stack.callback(workers.stop)
        ring_on_writes(written.ring)
        followers = Workers(FOLLOWERS, written, niceness=FOLLOWERS_NICENESS)
        stack.callback(followers.stop)
        following = readers(described, followers, options.data, written)
        following.start()
        stack.callback(following.stop)
        if queues is not None:
            queue = QueueReader(queues, described.queue_reader, invoked_by(workers))
            queue.start()
            stack.callback(queue.stop)
        expiring = expiry(described)
        expiring.start()
        stack.callback(expiring.stop)
        app = create_app(described, workers, streaming(described), ROOT / "openapi.json", blob_routes(stack))
        run(Server(app, lambda: sys.stdout.write(_welcome(options, os.environ))), listener)
        log.info("Stopping; what is in the streams is indexed first.")


@contextlib.contextmanager
def _listen(port: int) -> Iterator[socket.socket]:
    # Named TCP, or asyncio does not switch Nagle's algorithm off, and each answer waits 40 ms for an acknowledgement.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            raise CannotStart(f"Port {port} is in use: choose another with PORT=… (or --port).") from error
        yield listener


@contextlib.contextmanager
def _data_folder(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise CannotStart(f"The data folder {folder} cannot be used: {error.strerror}.") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CannotStart(f"Another server uses the data folder {folder}: choose another with DATA=….") from error
        yield


@contextlib.contextmanager
def _database(folder: Path, described: Template) -> Iterator[None]:
    """DynamoDB: the endpoint that DYNAMODB_URL names, or a database of our own in the data folder."""
    url = os.environ.get("DYNAMODB_URL")
    if url:
        if urlsplit(url).hostname in LOOPBACK:
            environment.add_credentials(os.environ)
        yield
        return
    environment.replace_credentials(os.environ)
    try:
        with database.serving(folder, _tables(described)) as running:
            os.environ["DYNAMODB_URL"] = running.url
            yield
    except (Unusable, EmulatorFailed) as error:
        raise CannotStart(str(error)) from error


@contextlib.contextmanager
def _queues(folder: Path) -> Iterator[str]:
    """Queues for events, in a MiniStack of their own; gives its endpoint."""
    if not ministack.is_installed():
        raise CannotStart("Queues for events need MiniStack: pip install 'annals-memory[events]'.")
    state = folder / "queues"
    state.mkdir(exist_ok=True)
    environment.add_credentials(os.environ)
    try:
        running = ministack.start(state, ministack.QUEUES)
    except EmulatorFailed as error:
        raise CannotStart(str(error)) from error
    os.environ["INGEST_FAILURES"] = queue_url(running.url, FAILURES)
    os.environ["FAILURES_QUEUE_URL"] = queue_url(running.url, STREAM_FAILURES)
    try:
        yield running.url
    finally:
        running.stop(ministack.files(state))


def readers(described: Template, workers: Workers, folder: Path, written: Wakeup, pace: Pace = USUAL) -> StreamReaders:
    """What reads the tables' streams."""
    url = os.environ["DYNAMODB_URL"]
    dynamodb = boto3.client("dynamodb", endpoint_url=url)
    streams = boto3.client("dynamodbstreams", endpoint_url=url, config=Config(parameter_validation=False))
    names = {logical: os.environ[variable] for variable, logical in described.table_names.items()}
    return StreamReaders(described.mappings, names, dynamodb, streams, invoked_by(workers), folder, written, pace)


def create_tables(described: Template) -> None:
    """Create the tables that are missing."""
    tables.create_missing(boto3.client("dynamodb", endpoint_url=os.environ["DYNAMODB_URL"]), _tables(described))


def _tables(described: Template) -> dict[str, Any]:
    """The template's properties of the tables, by the names that they have here."""
    return {os.environ[variable]: described.tables[logical] for variable, logical in described.table_names.items()}


def invoked_by(workers: Workers) -> Invoke:
    """What has a function called by workers, and waits for its answer."""

    def invoke(function: str, event: dict[str, Any]) -> Any:
        return workers.submit(function, event).result()

    return invoke


def expiry(described: Template) -> Expiry:
    """What deletes the items that have run out."""
    attributes = {
        os.environ[variable]: described.tables[logical]["TimeToLiveSpecification"]["AttributeName"]
        for variable, logical in described.table_names.items()
        if "TimeToLiveSpecification" in described.tables[logical]
    }
    return Expiry(boto3.client("dynamodb", endpoint_url=os.environ["DYNAMODB_URL"]), attributes)


def blob_routes(stack: contextlib.ExitStack) -> list[Route]:
    """The routes of parts that are in a folder, where the settings name one; old uploads go until the stack ends."""
    folder = os.environ.get("BLOBS_FOLDER")
    if not folder:
        return []
    store = FolderStore.at(folder)
    expiring = UploadExpiry(store)
    expiring.start()
    stack.callback(expiring.stop)
    return [BlobRoutes(store).route]


def streaming(described: Template) -> dict[str, Starlette]:
    """The ASGI apps of the functions that stream."""
    return {name: load(name, folder).app for name, folder in described.streaming.items()}


def run(server: Server, listener: socket.socket) -> None:
    """Serve until a signal comes, or ``should_exit`` is set."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # uvicorn takes them while it serves and hands them on afterwards
    signal.signal(signal.SIGHUP, server.handle_exit)
    server.run(sockets=[listener])


class Server(uvicorn.Server):
    """uvicorn, which says where it is when it is there."""

    def __init__(self, app: Starlette, announce: Callable[[], object]) -> None:
        super().__init__(uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=10))
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._announce()
            sys.stdout.flush()


def _welcome(options: Options, env: Mapping[str, str]) -> str:
    base = f"http://127.0.0.1:{options.port}"
    key = env["ROOT_KEY"]
    header = f"-H 'Authorization: Bearer {key}' -H 'Content-Type: application/json'"
    ada = '"memorySpaceId": "demo", "userId": "ada"'
    turn = f'{{{ada}, "userMessage": "My cat is called Byron.", "agentResponse": "Noted!"}}'
    question = f'{{{ada}, "userMessage": "What is my cat called?"}}'
    return f"""
Annals   {base}    documentation {base}/docs
key      {key}
data     {options.data}    embeddings {env["EMBEDDINGS_URL"] or "Bedrock"}, chat {env["CHAT_URL"] or "Bedrock"}

curl {base}/v1/memory/remember {header} -d '{turn}'
curl {base}/v1/memory/search {header} -d '{{"memorySpaceId": "demo", "query": "cat"}}'
curl -N {base}/v1/memory/remember-stream {header} -d '{question}'
{_events(env)}
"""


def _events(env: Mapping[str, str]) -> str:
    """Where events are sent to, if there are queues."""
    failures = env.get("INGEST_FAILURES", "")
    return f"\nevents   {failures.replace(FAILURES, QUEUE)}\n" if failures.endswith(FAILURES) else ""
