"""`python -m comal` is the `comal` command."""

from comal.cli import main

main()
