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
            reference=False,  # it keeps to rules of its own, so it need not find what others do
            summary="UCB1 in plain Python.",
        )
    ]
