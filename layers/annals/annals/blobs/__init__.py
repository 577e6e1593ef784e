"""Blobs: bytes that are too large for an item of a table, in a bucket or a folder, each under the key of its owner.

No two owners share a blob, even if its bytes are the same: what one of them deletes, the others keep.
"""
