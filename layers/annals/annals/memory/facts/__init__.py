"""Facts: what is known, since when, and what took its place."""
