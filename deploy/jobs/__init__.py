"""What a command does, one file for each command: train, mine, evaluate, oracle, sft, replay, problems.

May import every room of `deploy` but `commands` and `sweep`.
"""
