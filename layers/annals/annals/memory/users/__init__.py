"""Users: what is remembered of them, and all that there is about one."""
