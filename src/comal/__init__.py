"""comal: align language models with general preferences.

Alignment is a symmetric two-player zero-sum game over a preference oracle that need not be transitive. Exact games live
in `comal.games`, algorithms in `comal.algorithms`, runs on language models in `comal.pipeline`. Importing this package
loads no torch.
"""

__version__ = "0.1.0.dev0"
