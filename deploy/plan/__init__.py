"""`pope plan`: what a run will take, by arithmetic from its settings and the sizes of its model. Nothing is measured.

May import `run` and the rooms below it.
"""
