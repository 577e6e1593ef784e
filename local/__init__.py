"""The development server: the template's routes, streams and tables on this machine."""
