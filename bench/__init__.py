"""Measurements. Each module is a command: ``python -m bench.cost --help``."""
