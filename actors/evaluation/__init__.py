"""Evaluation: the plan of a sampling stage, its results, pass@k and its intervals.

May import the records of `broker`, the settings, and nothing else of `actors`.
"""
