"""One proximal step on a language model: sample, judge, target, score, train."""
