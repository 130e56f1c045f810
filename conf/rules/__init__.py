"""The rules across settings, one file per subject."""
