"""The shapes in which providers, frameworks and files have messages, from and to the one shape that is stored.

The server and the Python client share this package: the client's ``annals_client/formats`` is a link to it. So it knows
only the standard library, runs on Python 3.10, and imports its own modules relatively.
"""
