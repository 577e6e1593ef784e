"""Layer 1: the append-only ledger. It knows nothing of memory, search or HTTP."""
