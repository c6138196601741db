"""`comal` that says last in how many processes it ran, for tests of torchrun."""

import sys

from comal.cli import main

try:
    main()
finally:
    from accelerate import PartialState

    print(f"world size {PartialState().num_processes}", file=sys.stderr)
