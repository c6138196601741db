"""What the benchmarks share: ways of doing one thing measured by turns, and what they are measured with."""
