"""The embedded tasks: docstrings of the running Python's standard library; everyday instructions for chat models."""
