"""`pope sweep`: several experiments under several seeds, each run a process or a Ray job of its own.

May import `view` and the rooms below it.
"""
