"""CPUs and GPUs of every role, and what a cluster lacks."""

from dataclasses import replace

from conf.load import load
from deploy.cluster.placement import Demand, actor_demands, demands, largest, shortage
from deploy.stages.fine_tuning import sft_demands


def test_every_role_of_the_laptop_fits_two_cores_and_no_gpu():
    config = load(None, ["hardware=cpu", "actors.num_actors=2", "learner.num_ranks=2"])
    roles = [d.role for d in demands(config)]
    assert roles == ["actor-0", "actor-1", "preprocess-0", "learner-0", "learner-1"]
    assert shortage(config, demands(config), cpus=2, gpus=0) is None


def test_a_cluster_with_too_few_gpus_is_named_with_the_settings_that_ask_for_them():
    config = load(None, ["hardware=node8"])
    needed = sum(d.num_gpus for d in demands(config))
    assert needed == 8
    assert shortage(config, demands(config), cpus=64, gpus=8) is None
    sentence = shortage(config, demands(config), cpus=64, gpus=4)
    assert sentence is not None
    assert "need 8 GPUs and the cluster has 4" in sentence
    assert "learner.num_ranks" in sentence


def test_a_preprocessor_with_a_reference_model_asks_for_a_gpu_of_its_own():
    config = load(None, ["hardware=node8", "learner.kl_coef=0.01"])
    assert {d.role: d.num_gpus for d in demands(config)}["preprocess-0"] == 1
    sentence = shortage(config, demands(config), cpus=64, gpus=8)
    assert sentence is not None
    assert "need 10 GPUs and the cluster has 8" in sentence
    assert "learner.kl_coef=0.01 takes one for each of preprocess.num_workers=2" in sentence
    on_cpu = load(None, ["learner.kl_coef=0.01"])
    assert all(d.num_gpus == 0 for d in demands(on_cpu))


def test_a_tensor_parallel_engine_asks_for_all_its_gpus():
    config = load(None, ["hardware=node8"])
    config = replace(config, actors=replace(config.actors, num_actors=2, tensor_parallel=2))
    assert [d.num_gpus for d in demands(config)][:2] == [2, 2]


def test_engine_and_rank_share_one_gpu_where_the_settings_say_so():
    config = load(None, ["hardware=gpu1"])
    assert {d.role: d.num_gpus for d in demands(config)} == {"actor-0": 0.5, "preprocess-0": 0, "learner-0": 0.5}
    assert shortage(config, demands(config), cpus=8, gpus=1) is None
    assert "need 1 GPUs and the cluster has 0" in shortage(config, demands(config), cpus=8, gpus=0)
    penalized = load(None, ["hardware=gpu1", "learner.kl_coef=0.01"])
    assert {d.role: d.num_gpus for d in demands(penalized)}["preprocess-0"] == 0.3333
    assert shortage(penalized, demands(penalized), cpus=8, gpus=1) is None


def test_sampling_needs_its_engines_and_nothing_else():
    config = load(None, ["hardware=node8"])
    assert [d.role for d in actor_demands(config)] == [f"actor-{i}" for i in range(6)]
    assert shortage(config, actor_demands(config), cpus=64, gpus=6) is None


def test_fine_tuning_takes_the_place_of_the_engines():
    config = load(None, ["experiment=sft_prefix", "hardware=node8"])
    assert [d.num_gpus for d in sft_demands(config)] == [1] * 8
    assert sft_demands(load(None, ["hardware=node8"])) == []
    sentence = shortage(config, largest(actor_demands(config), sft_demands(config)), cpus=64, gpus=4)
    assert "need 8 GPUs" in sentence
    assert "sft.num_ranks=8" in sentence


def test_the_largest_stage_is_the_one_with_most_gpus_then_cpus():
    few, many, gpu = [Demand("a", 1, 0)], [Demand("a", 1, 0)] * 3, [Demand("b", 0.1, 1)]
    assert largest(few, gpu, many) == gpu
    assert largest(few, [], many) == many
