"""The network that the policy uses unless `model.name` names another one."""

from lz_muzero.model_mlp import MuZeroModelMLP


class HuberMuZeroModel(MuZeroModelMLP):
    """MuZero's network for vectors, with a wider hidden layer in each head."""

    head_hidden = (64,)
