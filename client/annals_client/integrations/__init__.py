"""Annals as the memory of agents' frameworks: a module each, which needs that framework.

``pip install 'annals-client[agno]'`` installs the client with a framework; ``annals_client.integrations.agno`` is
imported by those who use it, and by nothing else.
"""
