"""Turns rollout groups into advantages and fills the ring."""
