"""The environment of the functions on this machine: their settings, and credentials that open nothing."""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path

from annals.errors import ConfigurationError
from annals.settings import Settings
from local import emulator
from local.template import Template


class CannotStart(Exception):
    """A sentence that says what to change."""


def set_defaults(env: MutableMapping[str, str], folder: Path, described: Template) -> None:
    """What the functions read; whatever is set already stays. Raises CannotStart for a wrong setting."""
    defaults = {
        "EMBEDDINGS_URL": "offline",
        "CHAT_URL": "offline",
        "ROOT_KEY": "local",
        "ROOT_TENANT": "local",
        "POWERTOOLS_LOG_LEVEL": "WARNING",
        "POWERTOOLS_TRACE_DISABLED": "true",
        "POWERTOOLS_METRICS_DISABLED": "true",
        **{variable: getattr(Settings(), variable.lower()) for variable in described.table_names},
    }
    if not env.get("OPENSEARCH_URL"):
        defaults["EMBEDDED_INDEX"] = str(folder.resolve() / "index.sqlite3")
    if not env.get("BLOBS_BUCKET"):
        defaults["BLOBS_FOLDER"] = str(folder.resolve() / "blobs")
    for name, value in defaults.items():
        env.setdefault(name, value)
    try:
        Settings.from_env(env)
    except ConfigurationError as error:
        raise CannotStart(str(error)) from error


def add_credentials(env: MutableMapping[str, str]) -> None:
    """Credentials for an emulator, where there are none."""
    if not {"AWS_ACCESS_KEY_ID", "AWS_PROFILE"} & env.keys():
        replace_credentials(env)


def replace_credentials(env: MutableMapping[str, str]) -> None:
    """An emulator gets no real credentials."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        env.pop(name, None)
    env.update(emulator.CREDENTIALS)
