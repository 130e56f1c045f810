"""Live views of runs: in the browser, in the terminal, for Prometheus. Reads, and never writes.

May import `run` and the rooms below it.
"""
