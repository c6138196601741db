"""Commands for other people's trainers."""
