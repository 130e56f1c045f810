"""Pure statistics of what a run recorded: estimates with intervals, windows, solvability, transfer, starvation.

May import `broker` and `actors.evaluation`; no other room of `deploy`.
"""
