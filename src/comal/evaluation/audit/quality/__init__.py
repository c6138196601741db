"""How good verdicts are, before anything is concluded from them."""
