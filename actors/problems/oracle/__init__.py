"""Oracle solutions from an OpenAI-compatible endpoint: only those whose final answer verifies."""
