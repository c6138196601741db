"""`comal` that says of every policy that is opened to score in shards what part of it this process holds."""

import sys

from comal.cli import main
from comal.policies import store

load = store.load_in_shards


def told(*arguments):
    model = load(*arguments)
    part = sum(p.to_local().numel() for p in model.parameters()) / sum(p.numel() for p in model.parameters())
    print(f"scores with {part:.2f} of it", file=sys.stderr)
    return model


store.load_in_shards = told
main()
