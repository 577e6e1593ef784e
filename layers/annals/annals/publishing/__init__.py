"""Events out: changes of conversations, memories and facts, published to an EventBridge bus, at least once."""
