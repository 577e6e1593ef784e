"""Access: API keys, and the caller that one stands for."""
