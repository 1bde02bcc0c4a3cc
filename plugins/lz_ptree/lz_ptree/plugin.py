"""What this distribution brings: one tree."""

from lzcore.registry.hookspecs import hookimpl
from lzcore.registry.specs import SearchTreeSpec

LZ_API = 1


@hookimpl
def lz_register_trees() -> list[SearchTreeSpec]:
    """Name the NumPy tree."""
    return [
        SearchTreeSpec(
            name="lz_ptree",
            tree="lz_ptree.tree:NumpyTree",
            summary="Tree search in NumPy: the readable reference.",
            compiled=False,
        )
    ]
