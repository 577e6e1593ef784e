"""People: what is remembered of them, all that there is about them, and its erasure."""
