"""Files and Redis keys of a run, the read model over both, and the alerts computed from it.

May import `cluster` and `statistics`.
"""
