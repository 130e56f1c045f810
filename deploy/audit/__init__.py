"""`pope audit`: whether a run kept its promises, by its histories, its Redis and its checkpoints.

May import `store` and the rooms below it.
"""
