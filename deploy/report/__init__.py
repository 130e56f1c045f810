"""`pope report`: one self-contained page about runs, made by `build.py`: records -> estimates -> figures -> page.

May import `run` and the rooms below it.
"""
