"""Experiments of the literature, made with the product and imported by nothing but the command line."""
