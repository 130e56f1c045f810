"""The problems of a run: their sources, the order in which arms draw them, and their guidance."""
