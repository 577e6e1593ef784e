"""Documents: JSON values under keys, which may change; the state that an agent keeps beside its conversations."""
