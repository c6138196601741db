"""Algorithms carried out on language models, stage by stage, in a folder that a kill does not hurt."""
