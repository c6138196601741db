"""A run: checked, started, its methods one by one or side by side, the final evaluation."""
