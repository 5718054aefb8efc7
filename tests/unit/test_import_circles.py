"""No module imports itself by way of others, be it for types only: a circle has no first file."""

from __future__ import annotations

import grimp


def test_no_imports_go_in_a_circle() -> None:
    graph = grimp.build_graph("mesh", "node", "orchestrator")
    left = {
        module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules
    }
    # What imports nothing that is left is no part of a circle, and is taken out until none is.
    while leaves := {module for module, imported in left.items() if not imported & left.keys()}:
        for leaf in leaves:
            del left[leaf]
    assert sorted(left) == []
