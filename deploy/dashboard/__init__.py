"""A run as one watches it: in the browser, in the terminal, in Prometheus. Reads Redis only; never writes.

May import `run` and the rooms below it.
"""
