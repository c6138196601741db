"""The embedded task: docstrings of the running Python's standard library."""
