"""Indexing: the search index follows what the tables hold."""
