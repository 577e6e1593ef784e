"""Events out: what happened to conversations and memories, told to an EventBridge bus, at least once."""
