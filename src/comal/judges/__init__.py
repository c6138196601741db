"""Preference oracles, one file each, named in recipes by the file's name; what they share is in the folders."""
