"""Prompts and pairs, from files, the hub and the embedded tasks."""
