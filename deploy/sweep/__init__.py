"""`pope sweep`: several experiments under several seeds, each run in a process or Ray job of its own.

May import `view` and the rooms below it.
"""
