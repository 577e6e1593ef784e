"""Layer 2: memories, what is remembered of conversations and recalled for the next turn."""
