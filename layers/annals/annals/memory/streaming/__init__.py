"""Streamed turns: a model's reply told while it comes, followed and kept whoever goes away."""
