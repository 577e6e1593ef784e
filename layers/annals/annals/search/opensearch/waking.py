"""Requests to an OpenSearch Serverless collection, which sleeps when idle and takes up to 30 s to wake."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from opensearchpy.exceptions import ConnectionError as ConnectionFailed
from opensearchpy.exceptions import TransportError
from opensearchpy.transport import Transport

ASLEEP = {429, 502, 503, 504}
"""How the proxy before a collection answers while that wakes."""

AWAKE_S = 300.0
"""For so long after an answer a collection is known to be awake, and is not waited for: well under ten minutes."""

PAUSE_S, MAX_PAUSE_S = 0.2, 2.0
"""The pause before the second try, doubled for each further one, and the longest."""


class WakingTransport(Transport):
    """Sends a request again until a collection answers, for as long as it may take to wake.

    Parameters
    ----------
    wake_s : how long one request may wait in all, tries included
    timeout : how long it may wait where the collection is known to be awake
    """

    def __init__(self, hosts: Any, *, wake_s: float, timeout: float, **more: Any) -> None:
        super().__init__(hosts, timeout=timeout, **more)
        self._wake_s = max(wake_s, timeout)
        self._awake_s = timeout
        self._awake_until = 0.0

    def perform_request(self, method: str, url: str, **more: Any) -> Any:  # type: ignore[override]
        """The answer to a request. Raises what the last try raised."""
        budget_s = self._awake_s if time.monotonic() < self._awake_until else self._wake_s
        deadline = time.monotonic() + budget_s
        params = dict(more.pop("params", None) or {})
        for pause_s in _pauses():
            with_timeout = {**params, "request_timeout": max(deadline - time.monotonic(), PAUSE_S)}
            try:
                response = super().perform_request(method, url, params=with_timeout, **more)
            except TransportError as error:
                if not is_asleep(error) or time.monotonic() + pause_s >= deadline:
                    raise
                time.sleep(pause_s)
            else:
                self._awake_until = time.monotonic() + AWAKE_S
                return response
        raise AssertionError("the tries have no end")


def is_asleep(error: BaseException) -> bool:
    """Whether an error may be of a sleeping collection; from outside, one that is gone looks the same."""
    return isinstance(error, ConnectionFailed) or (isinstance(error, TransportError) and error.status_code in ASLEEP)


def _pauses() -> Iterator[float]:
    pause_s = PAUSE_S
    while True:
        yield pause_s
        pause_s = min(2 * pause_s, MAX_PAUSE_S)
