"""One run while it lasts: its session, its model, its supervision and its progress.

May import `view` and the rooms below it.
"""
