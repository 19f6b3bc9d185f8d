"""Other ways to copy the same rows, each a program of its own with packages that the project does not need."""
