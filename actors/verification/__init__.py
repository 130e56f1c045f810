"""Verification: extracts the answers of a response and compares them with the reference answer; verdict and reward.

May import the records and errors of `broker`, and nothing else of `actors`.
"""
