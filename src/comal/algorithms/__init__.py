"""Algorithms as programs of proximal steps, one file each, beside their equations."""
