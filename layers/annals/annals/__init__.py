"""Annals: append-only conversation memory for AI agents. This package is the domain that every function shares."""

__version__ = "0.1.0"

from annals.logs import hide_exception_messages

hide_exception_messages()
