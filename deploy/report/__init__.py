"""One self-contained page from runs: records -> estimates -> figures -> page. `build.py` is the command.

May import `run` and the rooms below it.
"""
