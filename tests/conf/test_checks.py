"""Every rule across settings: a violation, its message, and that the remedy in the message works."""

import math
import re
from dataclasses import fields, is_dataclass
from typing import Any

import pytest

from conf.checks import RULES, check
from conf.errors import ConfigError
from conf.load import load
from conf.names import SETTINGS
from conf.schema import RunConfig

BROKEN: list[tuple[str, list[str], str, list[str] | None]] = [
    # rule, overrides that violate it, a part of the message, overrides of the remedy in the message
    ("numbers_are_in_range", ["actors.temperature=3"],
     "actors.temperature=3.0 is outside its range [0.01, 2]; the nearest valid value is 2", ["actors.temperature=2"]),
    ("numbers_are_in_range", ["learner.learning_rate=-1e-3"],
     "learner.learning_rate=-0.001 is outside its range [0, inf]; the nearest valid value is 0",
     ["learner.learning_rate=0"]),
    ("numbers_are_in_range", ["learner.learning_rate=.nan"], "learner.learning_rate=nan is outside its range", None),
    ("numbers_are_in_range", ["learner.learning_rate=.inf"],
     "learner.learning_rate must be a number from -2**53 to 2**53", None),
    ("numbers_are_in_range", ["problems.num_hard=" + "9" * 30],
     "problems.num_hard must be a number from -2**53 to 2**53", None),
    ("redis_holds_the_kept_batches",
     ["max_memory_gib=0.05", "checkpoint_every=0", "actors.max_completion_tokens=2000", "row_tokens=9000"],
     "16640 of up to actors.max_completion_tokens=2000 tokens are 0.25 GiB; raise the first to 1",
     ["max_memory_gib=1", "checkpoint_every=0", "actors.max_completion_tokens=2000", "row_tokens=9000"]),
    ("run_name_is_valid", ["run.name=My Run"], "try my-run", ["run.name=my-run"]),
    ("run_name_is_valid", ["run.name=../x"], "try x", ["run.name=x"]),
    ("run_name_is_valid", ["run.name=" + "a" * 65], "1 to 64", ["run.name=" + "a" * 64]),
    ("builtins_exist", ["model.path=builtin:tny"],
     "model.path=builtin:tny is not built in; valid are builtin:tiny, builtin:tiny-reader, builtin:smollm2-135m",
     ["model.path=builtin:tiny-reader"]),
    ("arms_are_drawable", ["problems.arms={guide: 1}"],
     "problems.arms contains 'guide', the arms are unguided, guided, easy, easier; did you mean guided?",
     ["problems.arms={guided: 1}"]),
    ("arms_are_drawable", ["problems.arms={guided: -1}"], "problems.arms.guided=-1 is outside the weights 0 to 1000",
     ["problems.arms={guided: 0, unguided: 1}"]),
    ("arms_are_drawable", ["problems.arms={}"], "problems.arms={} draws nothing", ["problems.arms={easy: 1}"]),
    ("arms_are_drawable", ["problems.arms={guided: 0}"], "draws nothing", ["problems.arms={guided: 1}"]),
    ("arms_are_drawable", ["arms={easy: 2}", "num_easy=0"],
     "problems.num_easy=0 leaves no problem for the arm easy (weight 2)", ["num_easy=1"]),
    ("problems_have_a_source", ["problems.source=gsm8"],
     "nor one of dapo-math-17k, omni-math, acereason-math, aime-2025, hmmt-2025, gsm8k, math-500, nor a function "
     "of yours as package.module:Name; did you mean gsm8k?",
     ["problems.source=gsm8k"]),
    ("problems_have_a_source", ["problems.source=gsm8k:rows.csv"],
     "nor a file that ends in .jsonl, .json, .parquet", ["problems.source=gsm8k:rows.jsonl"]),
    ("fields_are_known", ["problems.fields.statment=question"],
     "problems.fields contains 'statment'", ["problems.fields={statement: question}", "problems.source=a.json"]),
    ("fields_are_known", ["problems.fields={answer: ''}"], "problems.fields.answer is empty",
     ["fields.answer=gold", "problems.source=a.json"]),
    ("reading_settings_fit_the_source", ["fields.answer=gold"],
     "problems.fields applies to the rows of a file, and problems.source=builtin:tiny has none",
     ["problems.fields={}"]),
    ("reading_settings_fit_the_source", ["levels=[1,2]"], "set problems.levels=null", ["levels=null"]),
    ("reading_settings_fit_the_source", ["problems.split=test", "problems.source=a.json"],
     "problems.split=test needs a hub data set, and problems.source=a.json has no splits",
     ["problems.split=null"]),
    ("stories_can_be_drawn", ["problems.story_steps=[4]"], "problems.story_steps=[4] must be [fewest, most] steps",
     ["problems.story_steps=[4,4]"]),
    ("stories_can_be_drawn", ["problems.story_families=[bas]"],
     "problems.story_families contains 'bas', the families are collection, bakery", ["problems.story_families=[bus]"]),
    ("levels_are_an_interval", ["problems.levels=[7]"], "must be [lowest, highest]",
     ["problems.levels=[7,10]", "problems.source=omni-math"]),
    ("levels_are_an_interval", ["problems.levels=[7,1.5]"], "problems.levels=[7.0, 1.5] must be [lowest, highest]",
     ["problems.levels=null"]),
    ("template_kwargs_are_free", ["prompts.template_kwargs.tokenize=true"],
     "prompts.template_kwargs contains tokenize, which pope-rl sets itself", ["prompts.template_kwargs={}"]),
    ("template_kwargs_are_free", ["prompts.template_kwargs={enable thinking: false}"],
     "contains 'enable thinking', which is not the name of a variable",
     ["prompts.template_kwargs={enable_thinking: false}"]),
    ("template_kwargs_are_json", ["prompts.template_kwargs={budget: [1, .nan]}"],
     "prompts.template_kwargs.budget=[1, nan] is not a value of JSON",
     ["prompts.template_kwargs={budget: [1, {words: null}]}"]),
    ("arms_are_drawable", ["arms={easier: 3}", "num_easier=0"],
     "problems.num_easier=0 leaves no problem for the arm easier (weight 3)", ["arms={unguided: 1}"]),
    ("limits_are_positive", ["problems.limit={eazy: 2}"],
     "problems.limit contains 'eazy', the buckets are hard, easy, easier; did you mean easy?",
     ["problems.limit={easy: 2}"]),
    ("limits_are_positive", ["limit.hard=0"], "problems.limit.hard=0 leaves no problem", ["limit.hard=1"]),
    ("adaptive_sampling_rates_the_policy",
     ["problems.sampling=adaptive", "actors.oracle_member=true", "preprocess.advantage=mean"],
     "problems.sampling=adaptive rates problems by the rollouts of the policy alone", ["problems.sampling=uniform"]),
    ("shares_are_shares", ["guidance.shares=[0.5, 1.2]"], "must be shares of the solution from 0 to 1",
     ["guidance.shares=[0.5, 0.25, 0.0]"]),
    ("shares_are_shares", ["guidance.shares=[]"], "at least one", ["guidance.shares=[0.5]"]),
    ("shares_are_shares", ["guidance.shares=[.nan]"], "guidance.shares=[nan]", ["guidance.shares=[0]"]),
    ("shares_fit_the_length", ["guidance.length=annealed", "schedule_groups=9"],
     "guidance.shares=[0.5, 0.25, 0.0] must be [first, last] with guidance.length=annealed",
     ["guidance.length=annealed", "schedule_groups=9", "guidance.shares=[0.95, 0.05]"]),
    ("shares_fit_the_length", ["guidance.length=staged", "schedule_groups=9", "guidance.shares=[0.5]"],
     "guidance.shares=[0.5] is one stage", ["guidance.length=fixed", "guidance.shares=[0.5]"]),
    ("shares_fit_the_length", ["guidance.length=fixed", "guidance.shares=[0, 0]"],
     "makes every guided prompt the unguided one", ["guidance.length=fixed", "guidance.shares=[0.5]"]),
    ("shares_fit_the_length", ["guidance.length=adaptive", "adapt_rule=ratio", "guidance.shares=[0]"],
     "guidance.adapt_rule=ratio changes a share by factors",
     ["guidance.length=adaptive", "adapt_rule=ratio", "guidance.shares=[1.0]"]),
    ("a_schedule_has_an_end", ["guidance.length=staged"],
     "the issued groups after which its schedule is over; set it to run.max_groups=2000",
     ["guidance.length=staged", "schedule_groups=2000"]),
    ("a_changing_length_has_a_guided_arm", ["guidance.length=adaptive", "problems.arms={unguided: 1}"],
     "chooses the prefixes of guided groups, and problems.arms draws none", ["guidance.length=shortest_useful"]),
    ("demonstrations_have_a_searched_prefix", ["guidance.length=adaptive", "sft.data=prefix"],
     "sft.data=prefix needs the prefix that a search before training finds",
     ["guidance.length=adaptive", "sft.data=full_oracle"]),
    ("oracle_style_needs_the_builtin_domain", ["oracle_style=terse", "problems.source=a.json"],
     "problems.oracle_style=terse applies to the solutions of builtin:tiny", ["oracle_style=model"]),
    ("prompts_fit_the_engine", ["actors.max_num_seqs=4"],
     "actors.max_num_seqs=4 cannot decode one group of actors.group_size=8 at the same time; raise the first to 8",
     ["actors.max_num_seqs=8"]),
    ("batch_holds_whole_groups", ["learner.batch_samples=60"],
     "learner.batch_samples=60 is not a multiple of actors.group_size=8, and groups are trained whole; "
     "the nearest valid values are 56 and 64", ["learner.batch_samples=56"]),
    ("batch_holds_whole_groups", ["learner.batch_samples=4"], "the nearest valid values are 8",
     ["learner.batch_samples=8"]),
    ("ring_holds_a_batch", ["ring.capacity=100"],
     "broker.ring.capacity=100 is not a multiple of actors.group_size=8, and the ring keeps groups whole; "
     "the nearest valid values are 96 and 104 (at least learner.batch_samples=64)", ["ring.capacity=96"]),
    ("ring_holds_a_batch", ["ring.capacity=56"],
     "broker.ring.capacity=56 cannot hold one batch of learner.batch_samples=64", ["ring.capacity=64"]),
    ("budget_allows_a_step", ["run.max_groups=7"],
     "run.max_groups=7 is too few for the first step, which takes 8 groups", ["run.max_groups=8"]),
    ("rows_hold_the_longest_sample", ["learner.row_tokens=767"],
     "learner.row_tokens=767 is smaller than the longest sample of the actors, "
     "actors.max_prompt_tokens + actors.max_completion_tokens = 768; raise the first to 768",
     ["learner.row_tokens=768"]),
    ("every_rank_has_work", ["learner.num_ranks=65"],
     "learner.num_ranks=65 is more than the learner.batch_samples=64 samples of a step", ["learner.num_ranks=64"]),
    ("ratio_bounds_suit_the_loss", ["policy_loss=truncated_is", "ratio_min=0.8"],
     "learner.ratio_min=0.8 has no effect with learner.policy_loss=truncated_is", ["policy_loss=cispo"]),
    ("ratio_bounds_suit_the_loss", ["ratio_min=0.8"], "set learner.ratio_min=0, or", ["ratio_min=0"]),
    ("ratio_bounds_suit_the_loss", ["policy_loss=gspo", "loss_aggregation=sequence_mean"],
     "learner.policy_loss=gspo with ratios in [0, 5] would never clip", ["ratio_min=0.9997", "ratio_max=1.0004"]),
    ("ratio_bounds_suit_the_loss",
     ["policy_loss=gspo", "loss_aggregation=sequence_mean", "ratio_min=0.9997", "ratio_max=1.28"],
     "must be within [0.9, 1.1]", ["ratio_max=1.0004"]),
    ("ratio_bounds_suit_the_loss", ["policy_loss=cispo"],
     "learner.policy_loss=cispo with ratios in [0, 5] equals truncated_is", ["ratio_max=1.28"]),
    ("ratio_bounds_suit_the_loss", ["policy_loss=cispo", "ratio_max=8"],
     "set learner.ratio_max=1.28, or learner.policy_loss=truncated_is", ["policy_loss=truncated_is"]),
    ("ratio_bounds_suit_the_loss", ["policy_loss=sequence_is", "ratio_min=0.5"],
     "learner.ratio_min=0.5 has no effect with learner.policy_loss=sequence_is", ["ratio_min=0"]),
    ("ratio_bounds_suit_the_loss", ["policy_loss=decoupled_clip"],
     "learner.policy_loss=decoupled_clip with ratios in [0, 5] would never clip", ["ratio_min=0.8", "ratio_max=1.2"]),
    ("ratio_mask_suits_the_loss", ["policy_loss=sequence_is", "ratio_mask=token"],
     "learner.ratio_mask=token would drop single tokens, and learner.policy_loss=sequence_is gives all tokens of a "
     "sequence one weight", ["ratio_mask=sequence"]),
    ("ratio_mask_suits_the_loss",
     ["policy_loss=gspo", "ratio_min=0.9997", "ratio_max=1.0004", "loss_aggregation=sequence_mean",
      "ratio_mask=second_moment"],
     "and learner.policy_loss=gspo gives all tokens", ["ratio_mask=sequence"]),
    ("ratio_mask_suits_the_loss", ["policy_loss=ppo_clip", "ratio_max=1.28", "ratio_mask=second_moment"],
     "learner.ratio_mask=second_moment replaces the clip (M2PO eq. 5)", ["policy_loss=truncated_is"]),
    ("ratio_mask_suits_the_loss",
     ["policy_loss=ppo_clip", "ratio_min=0.5", "ratio_max=5", "ratio_mask=token"],
     "learner.ratio_mask=token keeps ratios in [0.5, 5], where learner.policy_loss=ppo_clip with [0.5, 5] never clips",
     ["ratio_max=1.28"]),
    ("ratio_mask_suits_the_loss", ["ratio_mask=sequence_mean"],
     "learner.ratio_mask=sequence_mean with ratios in [0.5, 5] would never mask", ["mask_max=1.01"]),
    ("gspo_averages_over_sequences", ["policy_loss=gspo", "ratio_min=0.9997", "ratio_max=1.0004"],
     "learner.loss_aggregation=token_mean would weight sequences by length", ["loss_aggregation=sequence_mean"]),
    ("gspo_averages_over_sequences",
     ["policy_loss=gspo", "ratio_min=0.9997", "ratio_max=1.0004", "loss_aggregation=constant"],
     "learner.loss_aggregation=constant would weight", ["loss_aggregation=sequence_mean"]),
    ("pass_k_fits_the_group", ["preprocess.advantage=pass_at_k", "pass_k=9"],
     "preprocess.pass_k=9 is more than actors.group_size=8", ["group_size=16"]),
    ("pass_k_fits_the_group", ["preprocess.advantage=pass_at_k", "pass_k=8"],
     "preprocess.pass_k=8 = actors.group_size tells no rollout from another", ["pass_k=7"]),
    ("pass_k_fits_the_group", ["preprocess.advantage=pass_at_k", "pass_k=8", "pass_k_baseline=none"],
     "one success gives all 8 the weight 1 (POPE eq. 7); lower the first to 7", ["group_size=16"]),
    ("dual_clip_suits_the_loss", ["dual_clip=3"],
     "learner.dual_clip=3 bounds the ratio where learner.policy_loss=ppo_clip leaves it unbounded, and it is "
     "truncated_is", ["policy_loss=ppo_clip", "ratio_max=1.28"]),
    ("dual_clip_suits_the_loss", ["policy_loss=ppo_clip", "ratio_max=1.28", "dual_clip=1.28"],
     "learner.dual_clip=1.28 must be above learner.ratio_max=1.28", ["dual_clip=3"]),
    ("overlong_penalty_leaves_room", ["preprocess.advantage=mean", "overlong_tokens=256"],
     "preprocess.overlong_tokens=256 penalizes every rollout, because it is not below actors.max_completion_tokens=256",
     ["overlong_tokens=255"]),
    ("advantage_suits_the_rewards", ["preprocess.advantage=maxrl", "overlong_tokens=64"],
     "preprocess.overlong_tokens=64 gives rewards other than 0 and 1", ["preprocess.advantage=mean"]),
    ("advantage_suits_the_rewards", ["preprocess.advantage=pass_at_k", "overlong_tokens=64"],
     "preprocess.advantage=pass_at_k counts successes", ["overlong_tokens=0"]),
    ("advantage_suits_the_rewards", ["preprocess.advantage=maxrl", "oracle_member=true"],
     "preprocess.advantage=maxrl estimates the success rate of the policy", ["oracle_member=false"]),
    ("advantage_suits_the_rewards", ["preprocess.advantage=pass_at_k", "oracle_member=true"],
     "one success of every group is the oracle solution", ["preprocess.advantage=mean"]),
    ("names_are_known", ["preprocess.advantage=maxlr"],
     "preprocess.advantage=maxlr must be one of mean, std, leave_one_out, maxrl, pass_at_k, or a function of yours as "
     "package.module:Name; did you mean maxrl?", ["preprocess.advantage=maxrl"]),
    ("names_are_known", ["verifier.reward=mine:"], "verifier.reward=mine: must be binary, or a function of yours",
     ["verifier.reward=mine:reward", "preprocess.advantage=mean"]),
    ("names_are_known", ["verifier.judge=builtin:math"], "verifier.judge=builtin:math must be one of math, exact_match",
     ["verifier.judge=exact_match"]),
    ("reward_suits_its_uses", ["verifier.reward=mine:reward", "preprocess.advantage=maxrl"],
     "verifier.reward=mine:reward may give rewards other than 0 and 1, and preprocess.advantage=maxrl counts successes",
     ["preprocess.advantage=mean"]),
    ("reward_suits_its_uses", ["verifier.reward=mine:reward", "oracle_member=true", "preprocess.advantage=mean"],
     "actors.oracle_member=true gives the oracle solution the reward 1", ["verifier.reward=binary"]),
    ("oracle_member_is_supported",
     ["oracle_member=true", "policy_loss=gspo", "ratio_min=0.9997", "ratio_max=1.0004",
      "loss_aggregation=sequence_mean", "preprocess.advantage=mean"],
     "so its sequence has no ratio", ["policy_loss=ppo_clip"]),
    ("oracle_member_is_supported", ["oracle_member=true", "arms={guided: 1}", "preprocess.advantage=mean"],
     "actors.oracle_member=true applies to groups of the arm unguided", ["arms.unguided=1"]),
    ("max_lag_allows_the_publication_interval", ["max_lag=1", "weights.every_steps=3"],
     "learner.max_lag=1 with weights.every_steps=3 would deadlock", ["weights.every_steps=2"]),
    ("max_lag_allows_the_publication_interval", ["max_lag=0", "weights.every_steps=2"],
     "or learner.max_lag=1 or higher",
     ["max_lag=1"]),
    ("forced_lag_is_exact", ["forced_lag=4"],
     "learner.forced_lag=4 is exact only with the same bound, and learner.max_lag=1; set learner.max_lag=4",
     ["max_lag=4"]),
    ("forced_lag_is_exact", ["forced_lag=2", "max_lag=2", "weights.every_steps=2"],
     "learner.forced_lag=2 needs the weights of every step, and weights.every_steps=2", ["weights.every_steps=1"]),
    ("sft_data_is_known", ["sft.data=full-oracle"],
     "sft.data=full-oracle is neither one of none, full_oracle, guided_oracle, prefix nor a file that ends in .jsonl; "
     "did you mean full_oracle?", ["sft.data=full_oracle"]),
    ("rows_hold_the_longest_demonstration", ["sft.data=prefix", "sft.max_tokens=5000"],
     "sft.max_tokens=5000 is more than learner.row_tokens=4096, the size of a packed row; lower the first to 4096",
     ["sft.max_tokens=4096"]),
    ("every_sft_rank_has_work", ["sft.num_ranks=17"],
     "sft.num_ranks=17 is more than the sft.batch_samples=16 demonstrations of a step", ["sft.num_ranks=16"]),
    ("enough_completions_are_sampled", ["sft.completions=65"],
     "sft.completions=65 is more than sft.max_samples=64, from which they are chosen; lower the first to 64",
     ["sft.completions=64"]),
    ("one_gpu_is_shared_by_one_engine_and_one_rank", ["hardware=gpu1", "actors.num_actors=2"],
     "actors.num_actors=2 with deploy.share_gpu=true: one engine shares a GPU with one rank; set actors.num_actors=1",
     ["deploy.share_gpu=false"]),
    ("one_gpu_is_shared_by_one_engine_and_one_rank", ["deploy.share_gpu=true"],
     "deploy.device=cpu with deploy.share_gpu=true: there is no GPU to share", ["deploy.device=cuda"]),
    ("settings_suit_the_device", ["weights.backend=nccl"],
     "weights.backend=nccl needs GPUs, and deploy.device=cpu; set weights.backend=file, or deploy.device=cuda",
     ["deploy.device=cuda"]),
    ("settings_suit_the_device", ["actors.tensor_parallel=2"],
     "actors.tensor_parallel=2 splits one engine over GPUs, and deploy.device=cpu", ["deploy.device=cuda"]),
    ("settings_suit_the_device", ["learner.attention=flex"],
     "learner.attention=flex has no backward pass on a CPU, and deploy.device=cpu; set learner.attention=auto, or",
     ["deploy.device=cuda"]),
    ("pass_at_k_can_be_estimated", ["evaluation.k=[1,32]"],
     "evaluation.k=[1, 32] contains 32, and pass@32 cannot be estimated from evaluation.samples=8",
     ["evaluation.samples=32"]),
    ("pass_at_k_can_be_estimated", ["evaluation.k=[8,1]"],
     "ascending whole numbers from 1, such as [1, 8]", ["evaluation.k=[1,8]"]),
    ("pass_at_k_can_be_estimated", ["evaluation.k=[]"], "must be ascending whole numbers from 1", ["evaluation.k=[1]"]),
    ("held_out_problems_can_be_made", ["num_held_out=4", "problems.source=a.jsonl"],
     "evaluation.num_held_out=4 needs unseen problems, which problems.source=a.jsonl does not have",
     ["num_held_out=0"]),
    ("broker_url_is_a_redis_url", ["broker.url=localhost:6379"],
     "broker.url must start with redis://, rediss:// or unix://", ["broker.url=redis://localhost:6379"]),
    ("role_users_need_an_external_server", ["broker.role_users=true"],
     "broker.url=null starts the embedded one, which always has a user for each role", ["broker.role_users=false"]),
    ("buckets_do_not_overlap", ["mining.buckets.easy=[0.4,0.2]"], "mining.buckets.easy=[0.4, 0.2] is not an interval",
     ["mining.buckets.easy=[0.2,0.4]"]),
    ("buckets_do_not_overlap", ["mining.buckets.easier=[0.4,0.7]"], "mining.buckets.easier=[0.4, 0.7] overlaps easy",
     ["mining.buckets.easier=[0.5,0.7]"]),
    ("buckets_do_not_overlap", ["mining.buckets.medium=[0.45,0.46]"], "the buckets are hard, easy, easier", None),
    ("evaluations_can_run_during_training", ["evaluation.every_steps=10", "weights.backend=nccl", "deploy.device=cuda"],
     "weights.backend=nccl cannot update engines one by one", ["evaluation.every_steps=0"]),
    ("evaluations_can_run_during_training", ["evaluation.every_steps=10", "evaluation.every_samples=300"],
     "is more than an engine decodes at the same time", ["evaluation.every_samples=256"]),
    ("oracle_settings_are_valid", ["oracle.endpoint=localhost:8000"], "oracle.endpoint must be http://HOST or https://HOST",
     ["oracle.endpoint=http://localhost:8000"]),
    ("oracle_settings_are_valid", ["oracle.endpoint=https://me:secret@host/v1"],
     "without user, password, query or fragment",
     ["oracle.endpoint=https://host/v1"]),
    ("oracle_settings_are_valid", ["oracle.endpoint=http://host:99999/v1"], "oracle.endpoint must be http://HOST",
     ["oracle.endpoint=http://host:9999/v1"]),
    ("oracle_settings_are_valid", ["oracle.api_key_env=sk-123abc"],
     "oracle.api_key_env must name an environment variable in capitals, such as ORACLE_API_KEY",
     ["oracle.api_key_env=ORACLE_API_KEY"]),
    ("oracle_settings_are_valid", ["oracle.model= "],
     "oracle.model must be one line of printable characters", ["oracle.model=big"]),
    ("max_failures_covers_concurrency", ["oracle.max_failures=7"],
     "oracle.max_failures=7 is fewer than the oracle.concurrency=8 requests", ["oracle.max_failures=8"]),
    ("gradient_cosines_need_whole_weights", ["learner.gradient_cosine_every=10", "learner.zero_stage=3"],
     "learner.gradient_cosine_every=10 needs whole weights and gradients on every rank", ["learner.zero_stage=2"]),
    ("gradient_cosines_need_whole_weights", ["learner.gradient_cosine_every=1", "learner.zero_stage=3"],
     "set learner.gradient_cosine_every=0", ["learner.gradient_cosine_every=0"]),
    ("a_rollback_has_checkpoints_and_can_be_due", ["watchdog.action=rollback", "learner.checkpoint_every=0"],
     "learner.checkpoint_every=0 saves only the last step", ["learner.checkpoint_every=25"]),
    ("a_rollback_has_checkpoints_and_can_be_due", ["watchdog.action=rollback", "unhealthy_steps=9"],
     "learner.watchdog.unhealthy_steps=9 are never among the newest learner.watchdog.window=8 steps",
     ["learner.watchdog.window=9"]),
    ("one_gpu_is_shared_by_one_engine_and_one_rank", ["deploy.share_gpu=true"],
     "deploy.device=cpu with deploy.share_gpu=true: there is no GPU to share", ["deploy.share_gpu=false"]),
    ("dead_after_exceeds_two_heartbeats", ["deploy.dead_after_s=3"],
     "deploy.dead_after_s=3 would kill a healthy role after one late heartbeat (deploy.heartbeat_s=2); "
     "raise the first to 4", ["deploy.dead_after_s=4"]),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "overrides", "sentence", "remedy"), BROKEN)
def test_a_broken_rule_is_named_and_its_remedy_works(
    rule: str, overrides: list[str], sentence: str, remedy: list[str] | None
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, overrides)
    assert sentence in str(caught.value)
    assert str(caught.value).startswith("command line: ")
    assert set(caught.value.keys) <= SETTINGS.keys()
    if remedy is not None:
        load(None, [*overrides, *remedy])


def test_every_rule_has_a_case_that_breaks_it() -> None:
    assert {rule.__name__ for rule in RULES} == {rule for rule, *_ in BROKEN}


def numbers(section: Any, prefix: str = "") -> list[tuple[str, Any, Any]]:
    """(name, type in words, range) of every number."""
    found = []
    for field in fields(section):
        value = getattr(section, field.name)
        if is_dataclass(value):
            found += numbers(value, f"{prefix}{field.name}.")
        elif SETTINGS[prefix + field.name] in (int, float, int | None, float | None):
            found.append((prefix + field.name, SETTINGS[prefix + field.name], field.metadata.get("range")))
    return found


@pytest.mark.parametrize(("name", "kind", "bounds"), numbers(RunConfig()))
def test_every_number_has_a_range_and_is_held_to_it(name: str, kind: Any, bounds: Any) -> None:
    assert bounds is not None, f"{name} has no range"
    step = 1 if kind in (int, int | None) else 1e-3
    for edge, outside in ((bounds.low, -step), (bounds.high, step)):
        if edge is not None:
            with pytest.raises(ConfigError, match=re.escape(f"{name}=")) as caught:
                load(None, [f"{name}={edge + outside}"])
            assert f"the nearest valid value is {edge:g}" in str(caught.value)


@pytest.mark.parametrize(
    "overrides",
    [
        ["policy_loss=ppo_clip", "ratio_min=0.8", "ratio_max=1.28"],  # DAPO
        ["policy_loss=cispo", "ratio_max=1.28", "preprocess.advantage=std"],
        ["policy_loss=cispo", "ratio_min=0.8"],
        ["policy_loss=gspo", "ratio_min=0.9997", "ratio_max=1.0004", "loss_aggregation=sequence_mean", "kl_coef=0.001"],
        ["ratio_mask=token"],  # IcePop
        ["ratio_mask=second_moment", "ratio_max=1000000"],  # M2PO
        ["policy_loss=ppo_clip", "ratio_min=0.8", "ratio_max=1.28", "ratio_mask=token", "lag_discount=0.5"],
        ["policy_loss=decoupled_clip", "ratio_min=0.8", "ratio_max=1.2", "forced_lag=0", "max_lag=0"],
        ["policy_loss=sequence_is", "ratio_max=2", "ratio_mask=sequence", "forced_lag=8", "max_lag=8"],
        ["policy_loss=ppo_clip", "loss_aggregation=constant", "preprocess.advantage=leave_one_out"],
        ["kl_coef=0.001", "entropy_coef=0.01", "preprocess.advantage=maxrl"],
        *(["preprocess.advantage=pass_at_k", f"pass_k={k}"] for k in (1, 2, 4, 7)),
        ["oracle_member=true", "luffy_gamma=0.1", "preprocess.advantage=std", "overlong_tokens=64", "kl_coef=0.001"],
    ],
)
def test_objectives_that_make_sense_are_not_refused(overrides: list[str]) -> None:
    load(None, overrides)


@pytest.mark.parametrize(
    "setting", ["pass_k=2", "pass_k_baseline=none", "luffy_gamma=0.3", "sft.completions=2", "sft.max_samples=32"]
)
def test_a_sweep_may_give_all_its_experiments_a_number_that_one_of_them_uses(setting: str) -> None:
    for experiment in ("hard", "pass_at_k", "luffy", "sft_prefix"):
        load(None, [f"experiment={experiment}", setting])


def test_the_defaults_keep_every_rule() -> None:
    check(RunConfig())
    assert math.isclose(RunConfig().batch_groups, 8)
