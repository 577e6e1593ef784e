"""Give the package, the client, openapi.json and the changelog a version.

``annals.__version__`` is the one that counts; a test holds the others to it.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from datetime import UTC, datetime

from local.template import ROOT

VERSION = re.compile(r'(?m)^__version__ = "(.*)"$')
FILES = ("layers/annals/annals/__init__.py", "client/annals_client/version.py")
UNRELEASED = "## [Unreleased]\n"


def set_version(version: str) -> None:
    """Write a version into the files that state one."""
    for file in FILES:
        path = ROOT / file
        path.write_text(VERSION.sub(f'__version__ = "{version}"', path.read_text()))


def release_notes(changelog: str, version: str, day: str) -> str:
    """The changelog with its unreleased section as that version's. Raises ValueError where there is no such section."""
    before, heading, rest = changelog.partition(UNRELEASED)
    if not heading or rest.lstrip().startswith("## ["):
        raise ValueError("CHANGELOG.md has nothing under [Unreleased].")
    return f"{before}{UNRELEASED}\n## [{version}] – {day}\n{rest}"


def main() -> None:
    """Set the version of a release."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version", help="for example 0.2.0")
    version = parser.parse_args().version
    if not re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", version):
        parser.error(f"{version!r} is no version such as 0.2.0 or 0.2.0rc1")
    changelog = ROOT / "CHANGELOG.md"
    try:
        notes = release_notes(changelog.read_text(), version, datetime.now(UTC).date().isoformat())
    except ValueError as error:
        parser.error(str(error))
    changelog.write_text(notes)
    set_version(version)
    subprocess.run([sys.executable, "-m", "scripts.openapi"], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
