"""Personal data: detected in what people say, and masked before anything is stored."""
