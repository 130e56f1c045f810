"""The problems of a run: where they come from, in which order arms draw them, and their guidance."""
