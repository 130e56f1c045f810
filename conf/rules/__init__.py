"""The rules across settings, a file for each subject."""
