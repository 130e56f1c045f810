"""Verification: the answers a response claims, whether they equal the reference answer, verdict and reward.

May import the records and errors of `broker`, and nothing else of `actors`.
"""
