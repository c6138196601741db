"""Training a model: the supervised stage, and the trainers of prox losses."""
