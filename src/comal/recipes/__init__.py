"""Recipes: those that ship with comal, one YAML file each, what a recipe can say, and reading one."""

DEFAULT_RECIPE = "docstrings"
"""The one that commands take when none is named."""
