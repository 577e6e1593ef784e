"""Stand-ins for what Annals talks to, which keep the contract on the wire, or break it on purpose."""
