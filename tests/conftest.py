"""Fixtures that the tests share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cache
from itertools import count
from typing import Any

import httpx
import pytest
from hypothesis import settings as hypothesis_settings

from annals.settings import settings
from local import dynoxide
from local import ministack as ministack_programs
from local.emulator import Emulator
from scripts import opensearch
from tests.support import stack
from tests.support.api import Api
from tests.support.schedule import LongestFirst

hypothesis_settings.register_profile("annals", deadline=None, max_examples=50)
hypothesis_settings.load_profile("annals")

Setting = Callable[[str, str], None]

_numbers = count(1)

collect_ignore = ["frameworks"]
"""What `make test-integrations` runs, in environments of its own."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what a run of all tests leaves out."""
    if config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        terminalreporter.write_line("Not among these: tests/frameworks, which `make test-integrations` runs")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Begin with the files that take longest, where each worker gets whole files."""
    return LongestFirst(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(scope="session", autouse=True)
def certificates_read_once() -> Iterator[None]:
    """Let httpx read this machine's certificates once, not for each client: no server of a test speaks TLS."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("httpx._transports.default.create_ssl_context", cache(httpx.create_ssl_context))
        yield


@pytest.fixture(scope="module")
def module_moto() -> Iterator[None]:
    """Tables in moto for a module of unit tests that fills them once."""
    with stack.on_moto():
        yield


@pytest.fixture(scope="module")
def moto(module_moto: None) -> None:
    """Tables in moto for a module of unit tests, each of which begins with empty ones."""


@pytest.fixture(autouse=True)
def empty_tables(request: pytest.FixtureRequest) -> None:
    """Empty moto's tables for the next test: most of what moto does takes the longer the more they hold."""
    if "moto" in request.fixturenames:
        stack.empty_moto()


@pytest.fixture(scope="session")
def running_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """The one MiniStack of a test run."""
    folder = tmp_path_factory.mktemp("ministack")
    running = ministack_programs.start(folder)
    yield running
    running.stop(ministack_programs.files(folder))


@pytest.fixture(scope="session")
def running_dynoxide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """The one dynoxide of a test run."""
    folder = tmp_path_factory.mktemp("dynoxide")
    try:
        running = dynoxide.start(folder)
    except dynoxide.NotInstalled as reason:
        pytest.skip(f"dynoxide is not here: {reason}")
    yield running
    running.stop(dynoxide.files(folder))


@pytest.fixture(scope="session")
def quick_database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """A dynoxide that writes nothing to disk; where there is none, MiniStack."""
    try:
        dynoxide.find_or_install()
    except dynoxide.NotInstalled:
        yield request.getfixturevalue("running_emulator")
        return
    with dynoxide.in_memory(tmp_path_factory.mktemp("dynoxide-in-memory")) as running:
        yield running


@pytest.fixture(scope="module")
def tables(quick_database: Emulator) -> Iterator[Emulator]:
    """Fresh tables for a module of integration tests to which one database is as good as another."""
    with stack.on_emulator(quick_database):
        yield quick_database


@pytest.fixture
def own_tables(quick_database: Emulator) -> Iterator[Emulator]:
    """Such tables for one test: those that read whole tables again and again should not read others' items."""
    with stack.on_emulator(quick_database):
        yield quick_database


@pytest.fixture(scope="module")
def ministack(running_emulator: Emulator) -> Iterator[Emulator]:
    """Fresh tables in MiniStack for a module of integration tests."""
    with stack.on_emulator(running_emulator):
        yield running_emulator


@pytest.fixture(scope="module", params=["running_dynoxide", "running_emulator"], ids=["dynoxide", "MiniStack"])
def database(request: pytest.FixtureRequest) -> Iterator[Emulator]:
    """Fresh tables for a module of integration tests, which runs on each of the databases of a laptop."""
    running: Emulator = request.getfixturevalue(request.param)
    with stack.on_emulator(running):
        yield running


@pytest.fixture(scope="session")
def opensearch_url() -> Iterator[str]:
    """A real OpenSearch: the one that OPENSEARCH_URL names, else one of this run's own."""
    named = os.environ.get("OPENSEARCH_URL")
    if named:
        yield named
        return
    reason = opensearch.missing()
    if reason:
        pytest.skip(reason)
    with opensearch.running() as url:
        yield url


@pytest.fixture
def tenant() -> str:
    """A tenant that no other test knows."""
    return f"tenant-{next(_numbers)}"


@pytest.fixture
def api(tenant: str) -> Api:
    """A client with every scope of that tenant's key."""
    return Api.of(tenant)


@pytest.fixture
def setting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Setting]:
    """Gives one setting another value for the time of a test."""

    def change(name: str, value: str) -> None:
        monkeypatch.setenv(name, value)
        settings.cache_clear()

    yield change
    monkeypatch.undo()
    settings.cache_clear()
