"""The command line: export, import, and verification without a service."""
