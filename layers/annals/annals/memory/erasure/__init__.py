"""Erasure of conversations, messages and persons, with all that was made of them."""
