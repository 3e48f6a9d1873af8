"""Mutants of the neighbor search and the graphs: see tests/benchmarks/mutants.py."""

EXACT = "tests/neighbors/test_exact.py"

MUTANTS = [
    (
        "jaxlle/neighbors/radius.py",
        "require_distances(found) <= limit",
        "require_distances(found) < limit",
        EXACT + " -k radius",
    ),
]
