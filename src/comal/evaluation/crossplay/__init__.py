"""Policies against each other: win rates, their game and its Nash mixture, ratings, length control."""
