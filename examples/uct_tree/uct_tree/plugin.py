"""What this distribution brings; imports nothing heavy, as `lz list` loads it."""

from lzcore.registry import SearchTreeSpec, hookimpl

LZ_API = 1


@hookimpl
def lz_register_trees() -> list[SearchTreeSpec]:
    """One tree."""
    return [
        SearchTreeSpec(
            name="uct_tree",
            tree="uct_tree.tree:UctTree",
            compiled=False,
            summary="UCB1 in plain Python.",
        )
    ]
