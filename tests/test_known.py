"""What errors tell people to install is what our distributions provide: no more, no less."""

from collections import defaultdict

from lzcore.registry import Registry
from lzcore.registry.hints import known_distributions

LISTED = ("policies", "models", "trees", "envs", "opponents")


def test_the_list_of_known_distributions_names_what_each_of_ours_registers():
    registered = defaultdict(lambda: defaultdict(list))
    for component in Registry(limit="").components():
        if component.kind in LISTED and component.distribution.startswith("lz-"):
            registered[component.distribution][component.kind].append(component.name)
    listed = {
        known.distribution: {kind: sorted(names) for kind, names in known.provides.items() if names}
        for known in known_distributions()
    }

    assert listed == {
        name: {kind: sorted(names) for kind, names in kinds.items()}
        for name, kinds in registered.items()
    }
