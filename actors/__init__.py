"""Actors: problems in, verified rollouts out."""
