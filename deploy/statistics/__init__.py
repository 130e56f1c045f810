"""Pure statistics of the records of a run: estimates with intervals, windows, solvability, transfer, starvation.

May import `broker` and `actors.evaluation`; no other room of `deploy`.
"""
