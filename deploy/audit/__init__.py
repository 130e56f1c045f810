"""`pope audit`: checks a run's promises against its histories, its Redis and its checkpoints.

May import `store` and the rooms below it.
"""
