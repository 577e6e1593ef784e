"""What the adapters for the versions of Microsoft Agent Framework share; nothing here imports the framework."""
