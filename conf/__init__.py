"""Settings: what a run may be told, checked before anything starts."""
