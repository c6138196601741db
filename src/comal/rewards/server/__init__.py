"""Win rates over HTTP: one judge, one cache, one budget for whoever asks."""
