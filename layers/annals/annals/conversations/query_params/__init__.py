"""The query parameters of the conversations' routes, as what the domain takes. For functions; the domain knows none."""
