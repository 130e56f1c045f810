"""The actor: turns problems into verified rollout groups."""
