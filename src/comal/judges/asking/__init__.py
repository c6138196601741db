"""Asking a judge fairly and not more often than needed; which pairs to ask about; what follows from few."""
