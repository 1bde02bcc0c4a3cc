"""What the pages promise: a size that is told beforehand, chains from a node into its past."""

import numpy as np
import pytest
import torch
from lz_unizero.pages import Layout, Pages

TINY = Layout(
    num_nodes=5, num_roots=2, history=3, window=4, num_layers=1, width=2, keeps_tokens=True
)


def begun(lengths=(3, 1), layout=TINY):
    """Pages of histories whose numbers tell root, step and token: 100 root + 10 step + token."""
    pages = Pages(layout, torch.device("cpu"))
    root = torch.arange(2)[:, None, None]
    number = (100 * root + 10 * torch.arange(3)[None, :, None] + torch.arange(2)).float()
    tokens = number[..., None].expand(-1, -1, -1, 2)
    kv = number[..., None, None, None].expand(-1, -1, -1, 1, 2, 2)
    pages.begin(np.array(lengths), tokens, kv)
    return pages


def told(context):
    """The numbers of the tokens that each row sees, its own two left out."""
    seen = context.visible[:, 0, 0] == 0
    return [
        [int(number) for number in row[:-2][see[:-2]]]
        for row, see in zip(context.kv[:, :, 0, 0, 0], seen, strict=True)
    ]


def extended(pages, parent, node, number):
    """Write a leaf below `parent` in both trees, whose tokens are `number` and one more."""
    edges = pages.edges(np.array(parent), np.array(node), np.arange(2))
    context = pages.context(edges)
    context.kv[:, -2:] = torch.tensor([number, number + 1.0])[:, None, None, None]
    pages.write(edges, torch.full((2, 2, 2), float(number)), context.kv[:, -2:])
    return edges


@pytest.mark.parametrize("keeps_tokens", [True, False])
def test_bytes_are_told_before_they_are_taken(keeps_tokens):
    layout = TINY._replace(num_nodes=51, num_roots=8, num_layers=3, keeps_tokens=keeps_tokens)
    pages = Pages(layout, torch.device("cpu"))

    taken = [pages._kv, pages._tokens, pages._chain, pages._length]
    assert layout.num_bytes == sum(part.nbytes for part in taken)
    assert layout.num_pages == len(pages._kv) == (51 + 2) * 8


def test_a_root_is_followed_by_what_comes_before_it():
    context = begun().context(begun().edges(np.array([0, 0]), np.array([1, 1]), np.arange(2)))

    assert context.kv.shape == (2, 8, 1, 2, 2)  # as wide as the longer path: three steps and one

    pages = begun()
    context = pages.context(pages.edges(np.array([0, 0]), np.array([1, 1]), np.arange(2)))
    assert told(context) == [[1, 10, 11, 20, 21], [101]]  # the first step has no action before it
    assert context.position.tolist() == [5, 1]


def test_paths_branch_without_a_copy():
    pages = begun()
    extended(pages, (0, 0), (1, 1), 500)
    extended(pages, (0, 1), (2, 2), 600)

    edges = pages.edges(np.array([2, 2]), np.array([3, 3]), np.arange(2))
    assert edges.length.tolist() == [5, 4]
    assert told(pages.context(edges)) == [
        [11, 20, 21, 600, 601],  # four pages, of which the last is the leaf's
        [101, 500, 501, 600, 601],
    ]


def test_some_roots_at_nodes_of_their_own():
    pages = begun(lengths=(2, 2))
    extended(pages, (0, 0), (1, 1), 500)
    edges = pages.edges(np.array([1]), np.array([4]), np.array([1]))
    context = pages.context(edges)
    context.kv[:, -2:] = 7.0
    pages.write(edges, torch.full((1, 2, 2), 7.0), context.kv[:, -2:])

    after = pages.context(pages.edges(np.array([4, 1]), np.array([2, 3]), np.array([1, 0])))
    assert told(after) == [[111, 500, 501, 7, 7], [1, 10, 11, 500, 501]]


def test_the_newest_tokens_begin_with_an_observation_and_leave_room_for_two():
    pages = begun()
    extended(pages, (0, 0), (1, 1), 500)
    edges = pages.edges(np.array([1, 1]), np.array([2, 2]), np.arange(2)).some(np.array([0]))

    assert edges.length.tolist() == [5]
    assert pages.newest_tokens(edges)[0, :, 0].tolist() == [11, 20, 21, 500, 500]


def test_the_next_search_begins_anew():
    pages = begun()
    extended(pages, (0, 0), (1, 1), 500)
    fresh = torch.ones(2, 2, 2, 2), torch.ones(2, 2, 2, 1, 2, 2)
    pages.begin(np.array([2, 1]), *fresh)

    edges = pages.edges(np.array([0, 0]), np.array([1, 1]), np.arange(2))
    assert told(pages.context(edges)) == [[1, 1, 1], [1]]
