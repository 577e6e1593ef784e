"""The search index for a laptop: one SQLite file."""
