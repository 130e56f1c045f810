"""What a sampling stage asks for and what it measures: plans, results, pass@k and its intervals.

May import the records of `broker`; nothing else of `actors`.
"""
