"""Pages of one file that need no network: a run's report, several compared."""
