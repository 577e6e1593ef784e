"""Indexing: what the tables hold is brought into the search index, and compared with it."""
