"""Recipes that ship with comal, one YAML file each."""

DEFAULT_RECIPE = "docstrings"
"""The one that commands take when none is named."""
