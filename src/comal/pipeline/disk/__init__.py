"""What runs leave on disk: files, journals, progress, provenance."""
