"""What a person sees on the terminal while a command works."""
