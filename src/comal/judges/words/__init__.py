"""Judges that are language models here: their models, templates and labels."""
