"""A pytest plugin: of a test with many parameters run the first, and leave out what is slow.

What a distribution lacks when it is alone (a module, a file, a name to look up) shows in the first
case of a test as well as in the hundredth, and all of them run where everything is installed.
"""


def pytest_collection_modifyitems(config, items):
    """Keep the first item of each test function that is not slow."""
    first = {}
    for item in items:
        if not item.get_closest_marker("slow"):
            first.setdefault((item.path, getattr(item, "cls", None), item.originalname), item)
    kept = set(first.values())
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = [item for item in items if item in kept]
