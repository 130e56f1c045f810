"""Turns rollout groups into train groups and puts them into the ring."""
