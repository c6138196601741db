"""Every method, loss and schedule on a language model at equal judged pairs, over seeds."""
