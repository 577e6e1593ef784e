"""Memories: explicit ones in the state table, raw ones derived from the ledger's messages."""
