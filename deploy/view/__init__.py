"""One run on a screen, in a figure or in a table, and the terminal itself.

May import `store` and the rooms below it.
"""
