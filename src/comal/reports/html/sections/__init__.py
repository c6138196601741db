"""Sections of a run's report: each from records to what its template shows."""
