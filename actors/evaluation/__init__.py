"""Evaluation: the plan of a sampling stage, its results, pass@k and its intervals.

May import the records of `broker`, and nothing else of `actors`.
"""
