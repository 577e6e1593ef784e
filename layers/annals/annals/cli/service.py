"""The service as the command sees it: HTTP with a key, tried again where that is right."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from annals.cli.files import CommandFailed

TRIES = 6
CAP_S = 30.0
BUSY = {429, 502, 503, 504}


class Refused(CommandFailed):
    """The service refused; ``field`` is what it names, such as ``line 17``."""

    def __init__(self, detail: str, field: str | None) -> None:
        super().__init__(detail)
        self.field = field


@dataclass(frozen=True)
class Service:
    """Where the service is, and the key to it."""

    url: str
    key: str

    @contextmanager
    def client(self) -> Iterator[httpx.Client]:
        """A client; what goes wrong with the connection is a CommandFailed, at once where nothing answers at all."""
        headers = {"Authorization": f"Bearer {self.key}"}
        timeout = httpx.Timeout(30, read=120)
        try:
            with httpx.Client(base_url=self.url.rstrip("/"), headers=headers, timeout=timeout) as client:
                self._require_answer(client)
                yield client
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise CommandFailed(f"the connection to {self.url} failed: {error}") from None

    def _require_answer(self, client: httpx.Client) -> None:
        try:
            client.get("/v1/health")
        except httpx.ConnectError as error:
            what_to_do = "start a server there (`annals dev`, `make dev`), or name another one with --url or ANNALS_URL"
            raise CommandFailed(f"nothing answers at {self.url} ({error}): {what_to_do}") from None


def post(client: httpx.Client, path: str, body: bytes, query: Mapping[str, str]) -> Any:
    """Post JSON lines and return the answer. Busy or broken connections are tried again: imports bear that."""
    for number in range(TRIES):
        is_last = number == TRIES - 1
        try:
            answer = client.post(path, content=body, params=query, headers={"Content-Type": "application/x-ndjson"})
        except httpx.TransportError:
            if is_last:
                raise
            time.sleep(min(2**number, CAP_S))
            continue
        if is_last or not (answer.status_code in BUSY or "retry-after" in answer.headers):
            break
        time.sleep(_wait_s(answer, number))
    require_success(answer)
    return answer.json()


def require_success(answer: httpx.Response) -> None:
    """Raise Refused, in the words of the service, for any answer but a success."""
    if answer.is_success:
        return
    answer.read()
    try:
        problem = answer.json()
        detail, field = str(problem["detail"]), problem.get("field")
    except (ValueError, TypeError, KeyError):
        detail, field = answer.reason_phrase, None
    raise Refused(f"{answer.status_code} {detail}", field)


def _wait_s(answer: httpx.Response, number: int) -> float:
    said = answer.headers.get("retry-after", "")
    return min(float(said) if said.isdigit() else 2.0**number, CAP_S)
