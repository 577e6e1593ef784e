"""Which room may know which: read from the imports, those within functions and for types too, so that it stays true.

A room is a package, however deep it lies. What lies right in ``memory/`` is a room of one module; what lies right in
``annals/`` is the base, which knows no room and which every room may know.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from local.template import ROOT

LAYER = ROOT / "layers/annals"
BASE = "annals"

DOMAIN = (
    "access",
    "api",
    "conversations",
    "database",
    "documents",
    "formats",
    "formats.streams",
    "ledger",
    "privacy",
    "providers",
    "search",
    "stored_values",
)
MEMORY_BASE = ("memory.adapters", "memory.index_pages", "memory.keys", "memory.sources", "memory.user_traces")
SPACES = ("memory.retention_timers", "memory.space_models", "memory.spaces")

FORMATS = "annals.formats"
"""The room that the client has as well, as a part of its own package: it imports relatively, and nothing else."""

MAY_KNOW: dict[str, tuple[str, ...]] = {
    "formats": (),
    "formats.files": ("formats",),
    "formats.streams": ("formats",),
    "blobs": (),
    "database": (),
    "stored_values": ("blobs", "database"),
    "privacy": (),
    "providers": ("formats", "formats.streams"),
    "api": ("database", "formats", "privacy"),
    "ledger": ("blobs", "database", "formats"),
    "access": ("api", "database", "ledger"),
    "http": ("access", "api", "ledger"),
    "conversations": (
        "access",
        "api",
        "blobs",
        "database",
        "formats",
        "formats.files",
        "ledger",
        "privacy",
        "stored_values",
    ),
    "documents": ("access", "api", "blobs", "conversations", "database", "ledger", "privacy", "stored_values"),
    "conversations.query_params": ("api", "conversations", "formats", "ledger"),
    "search": ("providers", "search.embedded", "search.opensearch"),
    "search.embedded": ("providers", "search"),
    "search.opensearch": ("providers", "search"),
    "memory": (),
    "memory.keys": ("ledger",),
    "memory.adapters": ("providers", "search"),
    "memory.summarizers": ("api", "memory.adapters", "providers"),
    "memory.sources": (*DOMAIN, "memory.keys"),
    "memory.index_pages": (*DOMAIN, "memory.adapters", "memory.sources"),
    "memory.user_traces": DOMAIN,
    "memory.live_questions": ("database", "ledger"),
    "memory.retention_timers": DOMAIN,
    "memory.space_models": ("api",),
    "memory.spaces": (*DOMAIN, "memory.retention_timers", "memory.space_models", "memory.user_traces"),
    "memory.caller_vectors": (*DOMAIN, "memory.spaces"),
    "memory.facts": (*DOMAIN, *MEMORY_BASE),
    "memory.memories": (*DOMAIN, *MEMORY_BASE, "memory.facts"),
    "memory.users": (*DOMAIN, *MEMORY_BASE, *SPACES, "memory.facts", "memory.memories"),
    "memory.indexing": (*DOMAIN, *MEMORY_BASE, "memory.caller_vectors", "memory.facts", "memory.memories"),
    "memory.recall": (
        *DOMAIN,
        *MEMORY_BASE,
        "memory.caller_vectors",
        "memory.facts",
        "memory.indexing",
        "memory.live_questions",
        "memory.memories",
    ),
    "memory.models": ("api", "conversations", "formats", "ledger", "memory.facts", "memory.memories"),
    "memory.conversation_includes": (*DOMAIN, "memory.facts", "memory.memories", "memory.sources"),
    "memory.summarizing": (*DOMAIN, "memory.adapters", "memory.summarizers"),
    "memory.remember": (
        *DOMAIN,
        "memory.caller_vectors",
        "memory.facts",
        "memory.memories",
        "memory.models",
        "memory.sources",
    ),
    "memory.message_drafts": (*DOMAIN, "memory.caller_vectors", "memory.user_traces"),
    "memory.streaming": (
        *DOMAIN,
        *MEMORY_BASE,
        "memory.facts",
        "memory.live_questions",
        "memory.memories",
        "memory.models",
        "memory.recall",
        "memory.remember",
    ),
    "memory.erasure": (
        *DOMAIN,
        *MEMORY_BASE,
        *SPACES,
        "memory.facts",
        "memory.memories",
        "memory.message_drafts",
        "memory.streaming",
        "memory.users",
    ),
    "ingest": (
        "access",
        "api",
        "conversations",
        "database",
        "formats",
        "ledger",
        "memory.caller_vectors",
        "memory.models",
        "memory.remember",
    ),
    "publishing": ("conversations", "database", "ledger", "memory.facts", "memory.keys", "memory.memories", "search"),
    "operations": (
        *DOMAIN,
        *MEMORY_BASE,
        *SPACES,
        "ingest",
        "memory.erasure",
        "memory.facts",
        "memory.indexing",
        "memory.memories",
        "publishing",
    ),
    "cli": ("formats", "ledger", "memory.adapters", "memory.indexing", "operations"),
}
"""Of each room, the rooms that it may know."""

ENTRY = f"{BASE}.__main__"
"""The command ``annals``: no room, and it knows one, the command line."""


@cache
def modules() -> dict[str, Path]:
    """All modules of the package, by their dotted names; a package is its ``__init__``."""
    files = (LAYER / BASE).rglob("*.py")
    return {".".join(path.relative_to(LAYER).with_suffix("").parts).removesuffix(".__init__"): path for path in files}


def imported(path: Path) -> Iterator[str]:
    """What a file imports, wherever in it: modules, and names out of modules."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            yield from (f"{_package_of(path, node)}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _package_of(path: Path, node: ast.ImportFrom) -> str:
    """What a relative import imports from: a module of the formats, or a folder of theirs."""
    *folders, _ = path.relative_to(LAYER).parts
    package = ".".join(folders[: len(folders) + 1 - node.level])
    assert f"{package}.".startswith(f"{FORMATS}."), f"{path} imports relatively, from outside {FORMATS}"
    return f"{package}.{node.module}" if node.module else package


@cache
def known_to(module: str) -> frozenset[str]:
    """The modules of the package that one of them imports."""
    names = (name for name in imported(modules()[module]) if f"{name}.".startswith(f"{BASE}."))
    return frozenset(found for name in names if (found := _module_of(name)) not in (BASE, module))


def _module_of(name: str) -> str:
    return name if name in modules() else _module_of(name.rpartition(".")[0])


def room_of(module: str) -> str:
    """The room that a module lies in; empty for the base."""
    name = module.removeprefix(BASE).removeprefix(".")
    while name and name not in MAY_KNOW:
        name = name.rpartition(".")[0]
    return name


def is_open(module: str, other: str) -> bool:
    """Whether a module may know another one."""
    room, known = room_of(module), room_of(other)
    return known in ("", room) or known in MAY_KNOW.get(room, ())


def test_a_room_knows_only_the_rooms_that_it_may_know() -> None:
    offenders = {
        f"{module} -> {other}"
        for module in modules()
        for other in known_to(module)
        if module != ENTRY and not is_open(module, other)
    }
    assert not offenders


def test_the_rooms_lie_in_layers() -> None:
    rooms = {room: set(known) for room, known in MAY_KNOW.items()}
    rooms["search"] -= {"search.embedded", "search.opensearch"}  # search chooses its adapter, which knows its protocol
    TopologicalSorter(rooms).prepare()


def test_every_package_is_a_room() -> None:
    packages = {name for name, path in modules().items() if path.name == "__init__.py"} - {BASE}
    assert {name.removeprefix(f"{BASE}.") for name in packages} <= MAY_KNOW.keys()


def test_every_room_is_there_and_knows_what_is_there() -> None:
    there = {name.removeprefix(f"{BASE}.") for name in modules()}
    assert MAY_KNOW.keys() <= there
    assert {room for rooms in MAY_KNOW.values() for room in rooms} <= MAY_KNOW.keys()


def test_what_lies_right_in_memory_is_a_room_of_one_module() -> None:
    within = {name.removeprefix(f"{BASE}.") for name in modules() if name.startswith(f"{BASE}.memory.")}
    assert {name for name in within if name.count(".") == 1} <= MAY_KNOW.keys()


def test_no_modules_know_each_other_in_a_circle() -> None:
    sorter = TopologicalSorter({module: known_to(module) for module in modules()})
    try:
        sorter.prepare()
    except CycleError as circle:
        pytest.fail(" -> ".join(circle.args[1]))


def test_the_formats_know_only_the_standard_library() -> None:
    files = [path for name, path in modules().items() if room_of(name).startswith("formats")]
    names = {name.partition(".")[0] for path in files for name in imported(path) if not name.startswith(FORMATS)}
    assert names <= sys.stdlib_module_names


def test_the_client_has_the_formats_as_a_part_of_itself() -> None:
    assert (ROOT / "client/annals_client/formats").resolve() == LAYER / "annals/formats"


PARSES_QUERIES = ("api", "http", "conversations.query_params")
"""The rooms that know query strings,"""

PARSE_FOR_FUNCTIONS = {"annals.conversations.filter_parsing", "annals.memory.memories.memory_query"}
"""and the modules beside them; the first one is for filters in JSON as well."""


def test_query_strings_are_parsed_for_the_functions_and_not_in_the_domain() -> None:
    known = {module for module in modules() if "annals.api.query" in known_to(module)}
    assert {module for module in known if room_of(module) not in PARSES_QUERIES} == PARSE_FOR_FUNCTIONS
    parsers = {module for module in modules() if room_of(module) == "conversations.query_params"}
    parsers.add("annals.memory.memories.memory_query")
    assert not {module for module in modules() if module not in parsers and known_to(module) & parsers}


NO_MODELS_OF_THE_API = {
    "annals.memory.facts.extraction": "a chat model's reply",
    "annals.memory.summarizers": "a chat model's reply",
}


def test_what_the_api_takes_and_gives_is_in_modules_of_models() -> None:
    found = {
        f"{module}.{node.name}"
        for module, path in modules().items()
        if not module.endswith(("models", ".envelope")) and module not in NO_MODELS_OF_THE_API
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and _is_model(node)
    }
    assert found == {"annals.api.filters.Filter"}  # what filters have in common


def _is_model(node: ast.ClassDef) -> bool:
    bases = {ast.unparse(base) for base in node.bases}
    return bool(bases & {"Model", "Filter"}) or ("TypedDict" in bases and node.name.endswith("Response"))


FOLDERS: dict[str, tuple[str, ...]] = {
    "layers/annals": ("annals_client",),
    "functions": ("annals",),
    "local": ("annals",),
    "scripts": ("annals", "annals_client", "local"),
    "client": (),
}
"""Of each folder beside the tests and the benchmarks, which may know all, the others that it may know."""

PACKAGES = ("annals", "annals_client", "bench", "functions", "local", "scripts", "tests")


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_knows_only_the_folders_that_it_may_know(folder: str) -> None:
    own = {"layers/annals": "annals", "client": "annals_client"}.get(folder, folder)
    files = (path for path in (ROOT / folder).rglob("*.py") if "formats" not in path.parts)
    known = {name.partition(".")[0] for path in files for name in imported(path)}
    assert known & set(PACKAGES) <= {own, *FOLDERS[folder]}


def test_only_the_command_line_is_built_on_the_client() -> None:
    known = {room_of(module) for module, path in modules().items() if any(map(_is_of_client, imported(path)))}
    assert known == {"cli"}


def _is_of_client(name: str) -> bool:
    return name.partition(".")[0] == "annals_client"


INTEGRATIONS = ROOT / "client/annals_client/integrations"


def test_the_client_never_imports_an_adapter_to_a_framework() -> None:
    files = [path for path in (ROOT / "client").rglob("*.py") if INTEGRATIONS not in path.parents]
    assert not [path for path in files if any(name.startswith("annals_client.integrations") for name in imported(path))]


def test_what_the_adapters_share_needs_no_framework() -> None:
    shared = (INTEGRATIONS / "__init__.py", INTEGRATIONS / "support.py")
    names = {name.partition(".")[0] for path in shared for name in imported(path)}
    assert names <= {*sys.stdlib_module_names, "annals_client"}


def test_no_two_files_of_tests_have_one_name() -> None:
    files = [path for path in (ROOT / "tests").rglob("test_*.py") if "frameworks" not in path.parts]
    assert [name for name, number in Counter(path.name for path in files).items() if number > 1] == []
