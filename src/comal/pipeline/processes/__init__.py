"""Many processes: those of torchrun, and workers side by side."""
