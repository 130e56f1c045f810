"""Stages that several commands share: sampling, guidance search, fine-tuning, scheduled evaluation.

May import `run` and the rooms below it.
"""
