"""The one search loop: a tree that selects, dynamics that evaluate, a result.

`search` runs it; `LearnedDynamics` plans in a model's latent states; `make_tree` picks an
installed tree; `dirichlet_noise` draws what collection adds to a root's prior.
"""

from lzcore.search.dynamics import Dynamics, LearnedDynamics
from lzcore.search.inference import Inference
from lzcore.search.loop import search
from lzcore.search.noise import dirichlet_noise
from lzcore.search.trees import choose_tree, make_tree

__all__ = [
    "Dynamics",
    "Inference",
    "LearnedDynamics",
    "choose_tree",
    "dirichlet_noise",
    "make_tree",
    "search",
]
