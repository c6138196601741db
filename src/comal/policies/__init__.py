"""Language models as policies: prompts in, sampled answers and their log-probabilities out."""
