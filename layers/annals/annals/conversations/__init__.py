"""Conversations: who takes part, what is known of each, and the lists of them."""
