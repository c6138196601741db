"""Figures from answers and verdicts: no model is opened here."""
