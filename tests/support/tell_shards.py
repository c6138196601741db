"""`comal` that says of every policy opened to be scored or trained in shards what part of it this process holds."""

import sys

from comal.cli import main
from comal.policies import store


def telling(what, load):
    def told(*arguments):
        model = load(*arguments)
        part = sum(p.to_local().numel() for p in model.parameters()) / sum(p.numel() for p in model.parameters())
        print(f"{what} with {part:.2f} of it", file=sys.stderr)
        return model

    return told


store.load_in_shards = telling("scores", store.load_in_shards)
store.load_shards_to_train = telling("trains", store.load_shards_to_train)
main()
