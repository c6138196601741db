"""Certificates: exploiters trained against finished policies, measured on fresh prompts."""
