"""A model's endpoint that refuses everything, and quotes in its refusal what it was sent."""

from __future__ import annotations

import json

from tests.fakes.servers import Handler, Server


class QuotingHandler(Handler):
    """Answers ``POST`` with 400."""

    def do_POST(self) -> None:  # noqa: N802 - http.server's name
        body = self.read_json()
        self.server.requests.append(body)
        self.answer(400, json.dumps({"error": {"message": f"cannot read {json.dumps(body)[-200:]}"}}).encode())


class QuotingServer(Server):
    """The endpoint."""

    def __init__(self) -> None:
        super().__init__(QuotingHandler)
