"""What a run keeps, in its folder and in Redis, and how it is read again.

May import `cluster` and `statistics`.
"""
