"""One version: what states it says the same, and a release gives all of them another."""

from __future__ import annotations

import json
import re

import pytest

import annals
from annals_client import __version__ as client_version
from local.template import ROOT
from scripts.version import FILES, VERSION, release_notes

CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- Something.\n\n## [0.1.0] – 2026-01-02\n"


def test_whatever_states_a_version_states_the_same() -> None:
    openapi = json.loads((ROOT / "openapi.json").read_text())["info"]["version"]
    assert {annals.__version__, client_version, openapi} == {annals.__version__}


def test_the_newest_release_of_the_changelog_is_this_version() -> None:
    released = re.findall(r"(?m)^## \[(\d[^\]]*)\] – \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text())
    assert released[0] == annals.__version__


@pytest.mark.parametrize("file", FILES)
def test_each_file_states_it_once_where_a_release_writes_it(file: str) -> None:
    assert VERSION.findall((ROOT / file).read_text()) == [annals.__version__]


def test_a_release_takes_what_is_unreleased() -> None:
    notes = release_notes(CHANGELOG, "0.2.0", "2026-02-03")
    assert notes.startswith("# Changelog\n\n## [Unreleased]\n\n## [0.2.0] – 2026-02-03\n\n### Added\n\n- Something.\n")


@pytest.mark.parametrize("changelog", ["# Changelog\n", "# Changelog\n\n## [Unreleased]\n\n## [0.1.0] – 2026-01-02\n"])
def test_a_release_of_nothing_is_refused(changelog: str) -> None:
    with pytest.raises(ValueError, match="nothing under"):
        release_notes(changelog, "0.2.0", "2026-02-03")
