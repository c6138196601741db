"""Prox losses, one file each: what is minimised to take a proximal step on a language model."""
