"""Events in: messages and turns that come through a queue, a bus or a bucket, each stored once."""
