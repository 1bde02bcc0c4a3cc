"""Searches as text and as a picture: on small trees made by hand, and on real searches."""

import io
import re
from contextlib import redirect_stdout
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

from lzcore.base import Evaluation, TreeSpec
from lzcore.search import make_tree, outline, search, to_dot

PAGE = Path(__file__).parents[2] / "docs" / "inspect.md"


def snapshot(*nodes, num_edges=3, **other):
    """One tree. A node: parent, edge, its visits, prior, reward, V, and what is special about it.

    Rewards are undiscounted and the player stays the same, unless `discount` says otherwise.
    """
    size = len(nodes) + 2  # the last number is unused
    made = {
        "node_values": np.zeros(size),
        "to_play": np.full(size, -1, np.int8),
        "is_chance": np.zeros(size, bool),
        "terminal": np.zeros(size, bool),
        "parents": np.full(size, -1, np.int32),
        "action_from_parent": np.full(size, -1, np.int32),
        "edge_visits": np.zeros((size, num_edges), np.int32),
        "edge_rewards": np.zeros((size, num_edges)),
        "edge_discounts": np.ones((size, num_edges)),
        "prior": np.zeros((size, num_edges)),
    }
    for number, (parent, edge, visits, prior, reward, value, special) in enumerate(nodes, start=1):
        made["parents"][number], made["action_from_parent"][number] = parent, edge
        made["edge_visits"][parent, edge] = visits
        made["prior"][parent, edge] = prior
        made["edge_rewards"][parent, edge] = reward
        made["node_values"][number] = value
        made["edge_discounts"][parent, edge] = special.get("discount", 1.0)
        for key in ("is_chance", "terminal", "to_play"):
            if key in special:
                made[key][number] = special[key]
    return {key: values[None] for key, values in (made | other).items()}


def small():
    """Right is best; behind it the game ends at once, or goes on."""
    return snapshot(
        (0, 1, 6, 0.5, 0.25, 0.5, {}),
        (0, 0, 1, 0.25, 0.0, -0.5, {}),
        (0, 2, 3, 0.25, 0.0, 0.0001, {}),
        (1, 0, 2, 0.4, 0.0, 0.0, {}),
        (1, 2, 3, 0.6, 1.0, 0.0, {"terminal": True}),
        (4, 0, 1, 1.0, 0.0, 0.0, {}),
    )


def game():
    """A chance node between the moves of two players."""
    return snapshot(
        (0, 0, 9, 1.0, 0.0, 0.5, {"is_chance": True, "to_play": 1}),
        (1, 2, 5, 0.625, 0.0, -0.75, {"to_play": 2, "discount": -1.0}),
        (1, 0, 3, 0.375, 0.0, 0.25, {"to_play": 2, "discount": -1.0}),
    )


def told(text):
    """A text that is indented like the code around it."""
    return dedent(text).strip("\n")


# --- as text --------------------------------------------------------------------------------------


def test_an_outline_tells_the_numbers_of_each_edge_with_most_visits_first():
    made = small()
    made["node_values"][0, 0] = 0.4

    expected = told("""
                    visits  share       Q  prior       V
        root            10                         0.400
          right          6    60%   0.750  0.500   0.500  reward 0.250
            wait         3    60%   1.000  0.600   0.000  reward 1.000, over
            left         2    40%   0.000  0.400   0.000
              left       1   100%   0.000  1.000   0.000
          wait           3    30%   0.000  0.250   0.000
          left           1    10%  -0.500  0.250  -0.500
    """)
    assert outline(made, names=["left", "right", "wait"]) == expected


def test_edges_and_levels_that_are_left_out_are_said_to_be():
    assert outline(small(), top=1, depth=1).split("\n")[1:] == [
        "root            10                       0.000",
        "  action 1       6    60%  0.750  0.500  0.500  reward 0.250, more below",
        "  2 more         4    40%",
    ]


def test_of_edges_with_equal_visits_the_lower_comes_first():
    made = snapshot((0, 2, 1, 0.3, 0, 0, {}), (0, 0, 1, 0.3, 0, 0, {}), (0, 1, 1, 0.3, 0, 0, {}))

    order = re.findall(r"action \d", outline(made))

    assert order == ["action 0", "action 1", "action 2"]


def test_chance_nodes_players_and_signs_are_told():
    lines = [line.split() for line in outline(game()).split("\n")[2:]]

    assert lines == [
        ["action", "0", "9", "100%", "0.500", "1.000", "0.500", "chance,", "player", "1"],
        ["outcome", "2", "5", "62%", "0.750", "0.625", "-0.750", "player", "2"],
        ["outcome", "0", "3", "38%", "-0.250", "0.375", "0.250", "player", "2"],
    ]


def test_sampled_actions_are_told_as_vectors_or_by_their_names():
    nodes = (0, 2, 4, 0.5, 0, 0, {}), (0, 0, 1, 0.5, 0, 0, {})
    vectors, ids = np.zeros((4, 3, 2), np.float32), np.full((4, 3, 1), -1)
    vectors[0] = [(0.5, -0.25), (0, 0), (-0.999, -0.001)]
    ids[0, :, 0] = 3, 4, 7

    by_vector = outline(snapshot(*nodes, sampled_actions=vectors)).split("\n")
    by_name = outline(snapshot(*nodes, sampled_actions=ids), names="abcdefgh").split("\n")

    assert [line[:18].rstrip() for line in by_vector[2:]] == ["  (-1.00, 0.00)", "  (0.50, -0.25)"]
    assert [line[:4].rstrip() for line in by_name[2:]] == ["  h", "  d"]


def test_children_that_exist_without_a_visit_are_shown_and_not_on_the_principal_line():
    made = snapshot((0, 0, 0, 0.5, 0, 0.25, {}), (0, 1, 0, 0.5, 0, 0.75, {}))

    assert outline(made).split("\n")[2].split()[2:6] == ["0", "0%", "0.250", "0.500"]
    assert to_dot(made).count("penwidth") == 1  # the root


def test_a_search_that_has_only_begun_has_an_outline():
    assert outline(snapshot()).split("\n")[1:] == ["root       0                   0.000"]


def test_each_root_has_its_own_outline():
    one, other = small(), game()
    both = {key: np.concatenate([one[key][:, :4], other[key][:, :4]]) for key in other}
    one_alone = {key: values[:, :4] for key, values in one.items()}

    assert outline(both, root=1) == outline({k: v[:, :4] for k, v in other.items()})
    assert (
        outline(both, root=0, depth=1).split("\n")[2]
        == (outline(one_alone, depth=1).split("\n")[2])
    )


def test_a_line_of_thousands_of_nodes_is_told_to_its_end():
    chain = snapshot(*((i, 0, 3000 - i, 1.0, 0, 0, {}) for i in range(3000)), num_edges=1)

    assert len(outline(chain, depth=5000).split("\n")) == 3002


@pytest.mark.parametrize("show", [outline, to_dot])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"root": 1}, r"root is 1; expected 0 to 0, as the snapshot has\."),
        ({"root": -1}, r"root is -1; expected 0 to 0"),
        ({"top": 0}, r"top is 0; expected 1 or more\."),
        ({"depth": 0}, r"depth is 0; expected 1 or more\."),
        ({"names": ["a", "b"]}, r"names has 2 entries, but the search took action 2; expected a"),
    ],
)
def test_what_cannot_be_shown_is_refused_with_the_reason(show, given, message):
    with pytest.raises(ValueError, match=message):
        show(small(), **given)


# --- as a picture ---------------------------------------------------------------------------------


def test_a_drawing_has_a_node_for_each_node_and_marks_the_line_of_most_visits():
    expected = told(r"""
        digraph search {
          node [fontname="sans-serif", fontsize=11, shape=box, style=rounded]
          edge [fontname="sans-serif", fontsize=10]
          n0 [label="root\n10 visits\nV 0.000", penwidth=3]
          n1 [label="V 0.500", penwidth=3]
          n0 -> n1 [label="right\n6 visits (60%)\nQ 0.750, prior 0.500\nreward 0.250", penwidth=3]
          n5 [label="V 0.000\nover", shape=doublecircle, penwidth=3]
          n1 -> n5 [label="wait\n3 visits (60%)\nQ 1.000, prior 0.600\nreward 1.000", penwidth=3]
          n4 [label="V 0.000\n..."]
          n1 -> n4 [label="left\n2 visits (40%)\nQ 0.000, prior 0.400"]
          n3 [label="V 0.000"]
          n0 -> n3 [label="wait\n3 visits (30%)\nQ 0.000, prior 0.250"]
          more0 [label="1 more\n1 visit", shape=plaintext]
          n0 -> more0 [style=dashed, arrowhead=none]
        }
    """)
    assert to_dot(small(), top=2, depth=2, names=["left", "right", "wait"]) == expected


def test_chance_nodes_are_diamonds():
    drawn = to_dot(game())

    assert r'n1 [label="V 0.500\nchance, player 1", shape=diamond, penwidth=3]' in drawn
    assert drawn.count("diamond") == 1
    assert r'label="outcome 2\n5 visits (62%)' in drawn


def test_names_cannot_break_out_of_their_labels():
    names = ['a "quoted" one', "back\\slash", "two\nlines"]

    drawn, text = to_dot(small(), names=names), outline(small(), names=names)

    assert r'label="a \"quoted\" one\n' in drawn
    assert r'label="back\\slash\n' in drawn
    assert r'label="two lines\n' in drawn
    assert len(text.split("\n")) == len(outline(small()).split("\n"))


# --- real searches --------------------------------------------------------------------------------


def real_tree(spec):
    pytest.importorskip("lz_ctree", reason="a real search needs an installed tree")
    return make_tree("lz_ctree", spec)


class Told:
    """Says something else of each leaf."""

    def __init__(self, num_logits):
        self.rng, self.num_logits = np.random.default_rng(3), num_logits

    def root(self, num_roots):
        logits = self.rng.random((num_roots, self.num_logits)) + 0.1  # or deviations, above 0
        return Evaluation(self.rng.normal(size=num_roots), logits, self.rng.normal(size=num_roots))

    def expand(self, leaves):
        return self.root(len(leaves.parent))


@pytest.mark.parametrize(
    "kind",
    [
        {"num_actions": 4},
        {"num_actions": 4, "rule": "gumbel"},
        {"num_actions": 3, "num_chance_outcomes": 4},
        {"action_dim": 2, "num_sampled_actions": 4},
        {"num_actions": 9, "num_sampled_actions": 4},
    ],
    ids=str,
)
def test_every_kind_of_search_is_shown_whole_with_the_numbers_of_its_result(kind):
    spec = TreeSpec(num_simulations=30, discount=0.9, **kind)
    tree = real_tree(spec)
    seeds = np.arange(3, dtype=np.uint64)
    found = search(tree, Told(spec.num_logits), 3, num_simulations=30, seeds=seeds)
    shot = tree.snapshot()

    for root in range(3):
        lines = outline(shot, root, top=99, depth=99).split("\n")
        first = [line for line in lines if re.match(r"  [^ ]", line)]
        numbers = [line.split("%")[0].split()[-2:] for line in first]
        visits = sorted(found.visit_count[root].tolist(), reverse=True)
        q = [float(line.split("%")[1].split()[0]) for line in first]
        order = np.lexsort((np.arange(spec.num_edges), -found.visit_count[root]))
        exists = [
            edge
            for edge in order
            if edge in shot["action_from_parent"][root][shot["parents"][root] == 0]
        ]

        assert len(lines) == 1 + (shot["node_visits"][root] > 0).sum()
        assert [int(n) for n, _ in numbers] == visits[: len(numbers)]
        assert sum(visits) == 30
        assert q == pytest.approx(found.q_value[root, exists], abs=5.1e-4)
        assert to_dot(shot, root, top=99, depth=99).count(" -> ") == len(lines) - 2


def test_the_example_of_the_page_prints_what_the_page_shows(tmp_path, monkeypatch):
    pytest.importorskip("lz_ctree", reason="a real search needs an installed tree")
    if not PAGE.parent.is_dir():
        pytest.skip("the pages are in the repository only, not beside an unpacked sdist")
    page, out, names = PAGE.read_text(), io.StringIO(), {}
    monkeypatch.chdir(tmp_path)

    with redirect_stdout(out):
        for block in re.findall(r"```python\n(.*?)```", page, re.S):
            exec(block, names)

    assert out.getvalue() == re.search(r"```text\n(.*?)```", page, re.S).group(1)
    drawn = (tmp_path / "search.dot").read_text()
    picture = (PAGE.parent / "search_tree.svg").read_text()
    assert set(re.findall(r"<title>(n\d+)</title>", picture)) == set(
        re.findall(r"^  (n\d+) \[", drawn, re.M)
    )
    for said in re.findall(r"\d+ visits \(\d+%\)", drawn):
        assert said in picture


def test_a_tree_in_place_of_its_snapshot_is_refused_with_what_to_pass():
    with pytest.raises(TypeError, match=r"snapshot is of type object; .* Pass tree\.snapshot\(\)"):
        outline(object())
