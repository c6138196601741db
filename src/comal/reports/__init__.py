"""What people read of results: pages, tables and figures."""
