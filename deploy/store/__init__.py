"""What a run keeps in its folder and in Redis, the read model over both, and the alerts that depend on it.

May import `cluster` and `statistics`.
"""
