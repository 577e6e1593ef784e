"""Personal data: found in what is said, and masked before anything is stored."""
