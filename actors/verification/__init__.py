"""Verdicts: what a response answers, whether that equals the reference answer, and the reward it earns.

May import the records and errors of `broker`; nothing else of `actors`.
"""
