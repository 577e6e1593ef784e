"""Drafts of messages: what is being said, kept while it is said, and one entry of the ledger once it is complete.

A draft is a message's ``externalId`` with what was said so far. Its way:

1. ``functions/upsert`` reads an ``UpsertMessage`` (``models``) and calls ``upsert`` (``upserting``).
2. ``extended`` (``changes``) says what the draft is after it, and ``draft_store`` writes that, on the condition that
   nobody else was faster: each change adds what is new, and rewrites no text.
3. The last one completes the message: ``complete`` (``completing``) appends it to the ledger and closes the draft in
   one transaction.
4. A draft that nobody completes runs out: its timer goes, and ``end_draft`` (``ending``) keeps what was said as an
   incomplete message, or discards it.

Whoever follows one reads a ``FollowedMessage`` (``following``).
"""
