"""One run in figures and tables, and the terminal they are printed on.

May import `store` and the rooms below it.
"""
