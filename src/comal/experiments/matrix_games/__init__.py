"""The family on matrix games, exact and from sampled comparisons, at equal oracle calls."""
