"""Bundles of resources: what a run reserves, and which roles share a node."""

from conf.load import load
from deploy.cluster.gang import Bundle, gang
from deploy.cluster.placement import Demand, demands
from deploy.stages.fine_tuning import sft_demands

NODE8 = Bundle(64, 8)


def engines(count: int, gpus: float = 1) -> list[Demand]:
    return [Demand(f"actor-{i}", 0.1, gpus) for i in range(count)]


def ranks(count: int, gpus: float = 1) -> list[Demand]:
    return [Demand(f"learner-{i}", 0.1, gpus) for i in range(count)]


def test_the_ranks_of_the_learner_are_one_bundle_and_every_engine_its_own() -> None:
    found = gang([[*engines(2), *ranks(4)]], NODE8)
    assert found.bundles == (Bundle(0.4, 4), Bundle(0.1, 1), Bundle(0.1, 1))
    assert [found.index[f"learner-{i}"] for i in range(4)] == [0, 0, 0, 0]
    assert [found.index["actor-0"], found.index["actor-1"]] == [1, 2]
    assert found.total == Bundle(0.6, 6)


def test_ranks_that_no_node_holds_are_bundles_of_their_own() -> None:
    found = gang([ranks(16)], NODE8)
    assert found.bundles == (Bundle(0.1, 1),) * 16


def test_fine_tuning_uses_what_the_engines_reserved() -> None:
    """Six engines and two ranks, then eight ranks: the first two stay where they will be, the others take the GPUs of
    engines, and no ninth GPU is asked for."""
    config = load(None, ["experiment=sft_prefix", "hardware=node8"])
    found = gang([demands(config), sft_demands(config)], NODE8)
    assert found.total.gpus == 8
    later = [found.index[f"learner-{i}"] for i in range(8)]
    assert later[:2] == [0, 0]
    assert sorted(later[2:]) == sorted(found.index[f"actor-{i}"] for i in range(6))


def test_a_larger_later_stage_adds_what_is_missing() -> None:
    found = gang([[*engines(1, gpus=2), *ranks(1)], ranks(5)], NODE8)
    assert found.bundles == (Bundle(0.1, 1), Bundle(0.2, 2), Bundle(0.2, 2))
    assert [found.index[f"learner-{i}"] for i in range(5)] == [0, 1, 1, 2, 2], "two ranks in place of the engine"


def test_engine_and_rank_that_share_a_gpu_share_a_bundle_of_one_gpu() -> None:
    found = gang([demands(load(None, ["hardware=gpu1"]))], Bundle(16, 4))
    assert found.bundles == (Bundle(0.2, 1), Bundle(0.1, 0))
    assert found.index["actor-0"] == found.index["learner-0"] == 0


def test_tenths_of_a_cpu_add_up_exactly() -> None:
    assert gang([ranks(3, gpus=0)], NODE8).bundles == (Bundle(0.3, 0),)
