"""Erasure of conversations and users, and redaction of messages, with all that was made of them.

Each of them has a first step, which makes the words unreachable, and a rest, which takes them away. The first step
writes what leads to the rest: an erasure's receipt, or the redacted entry. Both reach a function that reads the tables'
streams (``finish_erasure`` or ``project``), which does the rest where the request had no time for it, or died.
"""
