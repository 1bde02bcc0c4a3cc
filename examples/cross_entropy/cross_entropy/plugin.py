"""What this distribution brings: one policy."""

from lzcore.registry import PolicySpec, hookimpl

LZ_API = 1


@hookimpl
def lz_register_policies() -> list[PolicySpec]:
    """The cross-entropy method."""
    return [
        PolicySpec(
            name="cross_entropy",
            policy="cross_entropy.policy:CrossEntropyPolicy",
            config="cross_entropy.config:CrossEntropyConfig",
            presets="cross_entropy.presets",
            summary="Imitates the best of its own episodes.",
            paper="Rubinstein 1999, doi:10.1023/A:1010091220143",
        )
    ]
