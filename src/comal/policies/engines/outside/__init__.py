"""Engines in a process and a Python of their own: the process, what it has open, and the script that it runs."""
