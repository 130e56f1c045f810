"""Oracle solutions from an OpenAI-compatible endpoint. Only those whose final answer is correct are accepted."""
