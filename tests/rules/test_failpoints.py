"""The list of failpoints and the code name the same places."""

import ast
from collections import Counter

from broker.failpoints import POINTS
from tests.rules.source import FILES, called


def test_every_point_is_in_the_list_and_in_one_place_of_the_code() -> None:
    reached = Counter(
        ast.literal_eval(call.args[0])
        for file, tree in FILES.items()
        if file != "broker/failpoints.py"
        for name, call in called(tree)
        if name == "failpoint"
    )
    assert set(reached) == set(POINTS)
    assert all(count == 1 for count in reached.values()), reached
