"""The template's routes, the OpenAPI document and what the fallback knows are the same."""

from __future__ import annotations

import json
from pathlib import Path

from local import template
from scripts import openapi

ROOT = Path(__file__).parents[3]
TEMPLATE = {(route.method, route.resource) for route in template.read().routes if route.method != "ANY"}


def test_every_route_of_the_template_is_documented_and_every_documented_one_is_there() -> None:
    document = json.loads((ROOT / "openapi.json").read_text())
    documented = {(method, path) for path, methods in openapi.routes(document).items() for method in methods}
    assert documented == TEMPLATE


def test_the_fallback_knows_every_route() -> None:
    known = json.loads((ROOT / "functions/fallback/routes.json").read_text())
    assert {(method, path) for path, methods in known.items() for method in methods} == TEMPLATE
