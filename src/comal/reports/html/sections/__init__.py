"""Sections of a run's page, a file each: from records to what a template shows."""
