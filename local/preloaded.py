"""Imported by the fork server before it forks workers: every function, loaded once for all of them."""

from local.workers import load_all

load_all()
