"""The one search loop: a tree that selects, dynamics that evaluate, a result.

`search` runs it; `LearnedDynamics` plans in a model's latent states, `ChanceDynamics` in one that
knows of chance, `SimulatedDynamics` with the rules of a game; `recorded` makes what a network
computes fast to call; `make_tree` picks an installed tree; `dirichlet_noise` and `gumbel_noise`
draw what a search mixes in at its root; `tempered` and `draw` go from its visits to an action;
`outline` and `to_dot` show what it did.
"""

from lzcore.search.choice import draw, entropy_bits, masked_softmax, tempered
from lzcore.search.dynamics import ChanceDynamics, Dynamics, LearnedDynamics
from lzcore.search.graphs import Step
from lzcore.search.inference import Inference, State
from lzcore.search.inspect import outline, to_dot
from lzcore.search.loop import search
from lzcore.search.noise import dirichlet_noise, gumbel_noise
from lzcore.search.recorded import recorded
from lzcore.search.simulated import Evaluate, SimulatedDynamics
from lzcore.search.trees import choose_tree, make_tree

__all__ = [
    "ChanceDynamics",
    "Dynamics",
    "Evaluate",
    "Inference",
    "LearnedDynamics",
    "SimulatedDynamics",
    "State",
    "Step",
    "choose_tree",
    "dirichlet_noise",
    "draw",
    "entropy_bits",
    "gumbel_noise",
    "make_tree",
    "masked_softmax",
    "outline",
    "recorded",
    "search",
    "tempered",
    "to_dot",
]
