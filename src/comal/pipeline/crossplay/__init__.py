"""Evaluations: models and output files sampled, judged and written down."""
