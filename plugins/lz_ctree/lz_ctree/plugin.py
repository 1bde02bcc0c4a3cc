"""What this distribution brings: one tree."""

from lzcore.registry.hookspecs import hookimpl
from lzcore.registry.specs import SearchTreeSpec

LZ_API = 1


@hookimpl
def lz_register_trees() -> list[SearchTreeSpec]:
    """Name the compiled tree."""
    return [
        SearchTreeSpec(
            name="lz_ctree",
            tree="lz_ctree.tree:CTree",
            summary="Tree search in C++: PUCT, Gumbel, chance, sampled actions.",
            compiled=True,
        )
    ]
