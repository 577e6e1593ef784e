"""The JSON Schemas of events, in and out, from their models; ``scripts/openapi.py`` writes and checks them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from annals.ingest.envelope import Envelope
from annals.publishing.events import Change
from local.template import ROOT

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def files() -> dict[Path, str]:
    """What is written where."""
    return {
        ROOT / "schemas/ingest-event.json": _text(Envelope, "An event that Annals ingests"),
        ROOT / "schemas/published-event.json": _text(Change, "An event that Annals publishes"),
    }


def _text(models: Any, title: str) -> str:
    schema = {"$schema": DIALECT, "title": title, **TypeAdapter(models).json_schema(by_alias=True)}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
