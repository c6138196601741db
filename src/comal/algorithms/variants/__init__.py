"""Members that change the game rather than the way through it, or that put one method around another."""
