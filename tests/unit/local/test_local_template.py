"""The development server sees in the template what API Gateway and Lambda would."""

from __future__ import annotations

from local import template

TEMPLATE = template.read()


def test_routes_know_their_function_and_whether_they_are_open() -> None:
    routes = {(route.method, route.resource): route for route in TEMPLATE.routes}
    assert routes["POST", "/v1/conversations/{conversationId}/messages"].function == "append"
    assert routes["POST", "/v1/conversations/{conversationId}/messages"].authorized
    assert not routes["GET", "/v1/health"].authorized


def test_a_streamed_route_may_take_longer() -> None:
    times = {route.function: route.timeout_s for route in TEMPLATE.routes}
    assert times["remember_stream"] == 900
    assert times["append"] == 29


def test_functions_are_either_streaming_or_buffered() -> None:
    assert set(TEMPLATE.streaming) == {"export", "remember_stream"}
    assert TEMPLATE.streaming.keys() | TEMPLATE.buffered.keys() == TEMPLATE.functions.keys()
    assert not TEMPLATE.streaming.keys() & TEMPLATE.buffered.keys()


def test_the_authorizer_is_the_default_ones_function() -> None:
    assert TEMPLATE.authorizer == "authorizer"


def test_tables_have_the_names_that_the_settings_give() -> None:
    assert TEMPLATE.table_names == {"LEDGER_TABLE": "LedgerTable", "STATE_TABLE": "StateTable"}
    assert set(TEMPLATE.tables) == {"LedgerTable", "StateTable"}


def test_streams_know_their_table_and_their_limits() -> None:
    mappings = {mapping.name: mapping for mapping in TEMPLATE.mappings}
    assert {"index/LedgerTable", "project/LedgerTable"} <= mappings.keys()
    assert mappings["index/LedgerTable"].batch_size == 100
    assert mappings["index/LedgerTable"].retry_attempts == 100
