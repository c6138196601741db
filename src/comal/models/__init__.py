"""Files of models, below policies and judges: one way to load weights, and what their tokens mean."""
