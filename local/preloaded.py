"""Imported by the fork server before it forks workers: every function, loaded once for all of them."""

import local.integration  # noqa: F401 - what workers do first
from local.workers import load_all

load_all()
