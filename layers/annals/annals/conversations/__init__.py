"""Conversations: created, read, listed, changed, exported, imported, with their heads, summaries and receipts."""
