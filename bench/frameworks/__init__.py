"""What a turn costs in each framework, in its own stores and in ours, by one method: ``python -m bench.frameworks``."""
