"""Operators' commands: rebuilding what is derived, and retrying what failed."""
