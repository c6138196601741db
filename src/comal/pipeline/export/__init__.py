"""A run's prompts, answers and verdicts in other people's formats."""
