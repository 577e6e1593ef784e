"""What operators start: rebuilding what is derived, and catching up with what failed."""
