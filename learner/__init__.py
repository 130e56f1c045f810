"""Optimisation: batches out of the ring become optimizer steps, checkpoints and published weights."""
