"""The search index of a laptop: one SQLite file."""
