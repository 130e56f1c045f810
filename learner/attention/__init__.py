"""Attention of packed rows: masks of samples, and two implementations, one for CPUs and one for GPUs."""
