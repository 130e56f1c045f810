"""What a command does, one file a command: train, mine, evaluate, oracle, sft, replay, problems.

May import every room of `deploy` but `commands` and `sweep`.
"""
