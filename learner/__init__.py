"""Optimisation: trains batches of the ring, saves checkpoints and publishes weights."""
