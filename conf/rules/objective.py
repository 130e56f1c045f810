"""Combinations of losses, advantages and penalties; see docs/objectives.md for the reasons."""

from collections.abc import Iterator

from conf.rules.rule import Rule, Violation
from conf.schema import RunConfig

GSPO_BOUNDS = (0.9, 1.1)
"""The ratio of a sequence is a geometric mean over its tokens and differs from 1 by a few thousandths only."""
CISPO_BELOW = 5.0
"""The upper bound of PipelineRL. With this or a larger one, and no lower bound, CISPO equals `truncated_is`."""
SEQUENCE_MEAN_BOUNDS = (0.5, 2.0)
"""A geometric mean over a rollout outside these bounds would mean 0.7 nats a token, far beyond any use of the data."""
UPPER_BOUND_ONLY = ("truncated_is", "sequence_is")
WHOLE_SEQUENCES = ("gspo", "sequence_is")
"""Losses that give all tokens of a sequence one weight."""


def ratio_bounds_suit_the_loss(config: RunConfig) -> Iterator[Violation]:
    learner = config.learner
    low, high = GSPO_BOUNDS
    if learner.policy_loss in UPPER_BOUND_ONLY and learner.ratio_min > 0:
        yield ("learner.ratio_min", "learner.policy_loss"), (
            f"learner.ratio_min={learner.ratio_min:g} has no effect with learner.policy_loss={learner.policy_loss}, "
            "which bounds the ratio from above only; set learner.ratio_min=0, or learner.policy_loss=cispo"
        )
    if learner.policy_loss == "gspo" and not (low <= learner.ratio_min and learner.ratio_max <= high):
        yield ("learner.ratio_max", "learner.ratio_min", "learner.policy_loss"), (
            f"learner.policy_loss=gspo with ratios in [{learner.ratio_min:g}, {learner.ratio_max:g}] would never clip: "
            f"the ratio of a sequence is close to 1, and the bounds must be within [{low:g}, {high:g}]; set "
            "learner.ratio_min=0.9997 and learner.ratio_max=1.0004, as in its paper"
        )
    if learner.policy_loss == "cispo" and learner.ratio_min == 0 and learner.ratio_max >= CISPO_BELOW:
        yield ("learner.ratio_max", "learner.ratio_min", "learner.policy_loss"), (
            f"learner.policy_loss=cispo with ratios in [0, {learner.ratio_max:g}] equals truncated_is: without a "
            f"lower bound, the upper bound of CISPO must be below {CISPO_BELOW:g}; set "
            "learner.ratio_max=1.28, or learner.policy_loss=truncated_is"
        )
    if learner.policy_loss == "decoupled_clip" and learner.ratio_min == 0 and learner.ratio_max >= CISPO_BELOW:
        yield ("learner.ratio_max", "learner.ratio_min", "learner.policy_loss"), (
            f"learner.policy_loss=decoupled_clip with ratios in [0, {learner.ratio_max:g}] would never clip: the ratio "
            "to the proximal policy is that of one optimizer step; set learner.ratio_min=0.8 and "
            "learner.ratio_max=1.2, as in its paper, or learner.policy_loss=truncated_is"
        )


def ratio_mask_suits_the_loss(config: RunConfig) -> Iterator[Violation]:
    learner = config.learner
    mask, loss = learner.ratio_mask, learner.policy_loss
    if mask in ("token", "second_moment") and loss in WHOLE_SEQUENCES:
        yield ("learner.ratio_mask", "learner.policy_loss"), (
            f"learner.ratio_mask={mask} would drop single tokens, and learner.policy_loss={loss} gives all tokens of a "
            "sequence one weight; set learner.ratio_mask=sequence, or learner.policy_loss=truncated_is"
        )
    if mask == "second_moment" and loss in ("ppo_clip", "decoupled_clip"):
        yield ("learner.ratio_mask", "learner.policy_loss"), (
            f"learner.ratio_mask=second_moment replaces the clip (M2PO eq. 5), and learner.policy_loss={loss} would "
            "clip the same tokens; set learner.policy_loss=truncated_is, or learner.ratio_mask=token"
        )
    bounds_act = learner.mask_min < learner.ratio_min or learner.mask_max > learner.ratio_max
    if mask == "token" and loss in ("ppo_clip", "cispo") and not bounds_act:
        yield ("learner.ratio_mask", "learner.mask_max", "learner.mask_min", "learner.policy_loss"), (
            f"learner.ratio_mask=token keeps ratios in [{learner.mask_min:g}, {learner.mask_max:g}], where "
            f"learner.policy_loss={loss} with [{learner.ratio_min:g}, {learner.ratio_max:g}] never clips; widen the "
            "first, as to learner.mask_min=0.5 and learner.mask_max=5, or set learner.policy_loss=truncated_is"
        )
    low, high = SEQUENCE_MEAN_BOUNDS
    if mask == "sequence_mean" and not (low <= learner.mask_min and learner.mask_max <= high):
        yield ("learner.mask_max", "learner.mask_min", "learner.ratio_mask"), (
            f"learner.ratio_mask=sequence_mean with ratios in [{learner.mask_min:g}, {learner.mask_max:g}] would never "
            f"mask: a geometric mean is close to 1, and the bounds must be within [{low:g}, {high:g}]; set "
            "learner.mask_min=0.99 and learner.mask_max=1.01, or learner.ratio_mask=sequence"
        )


def dual_clip_suits_the_loss(config: RunConfig) -> Iterator[Violation]:
    learner = config.learner
    if learner.dual_clip is None:
        return
    if learner.policy_loss != "ppo_clip":
        yield ("learner.dual_clip", "learner.policy_loss"), (
            f"learner.dual_clip={learner.dual_clip:g} bounds the ratio where learner.policy_loss=ppo_clip leaves it "
            f"unbounded, and it is {learner.policy_loss}; set learner.dual_clip=null, or learner.policy_loss=ppo_clip"
        )
    if learner.dual_clip <= learner.ratio_max:
        yield ("learner.dual_clip", "learner.ratio_max"), (
            f"learner.dual_clip={learner.dual_clip:g} must be above learner.ratio_max={learner.ratio_max:g}, because "
            "it bounds what the first clip leaves above that; raise the first, as to 3 with learner.ratio_max=1.28, or "
            "set learner.dual_clip=null"
        )


def gspo_averages_over_sequences(config: RunConfig) -> Iterator[Violation]:
    learner = config.learner
    if learner.policy_loss == "gspo" and learner.loss_aggregation != "sequence_mean":
        yield ("learner.loss_aggregation", "learner.policy_loss"), (
            f"learner.loss_aggregation={learner.loss_aggregation} would weight sequences by length, and "
            "learner.policy_loss=gspo is a mean over sequences (GSPO eq. 5); set "
            "learner.loss_aggregation=sequence_mean"
        )


def pass_k_fits_the_group(config: RunConfig) -> Iterator[Violation]:
    preprocess, group = config.preprocess, config.actors.group_size
    if preprocess.advantage != "pass_at_k":
        return
    k = preprocess.pass_k
    if k > group:
        yield ("preprocess.pass_k", "actors.group_size"), (
            f"preprocess.pass_k={k} is more than actors.group_size={group}, and pass@k is estimated from the rollouts "
            f"of one group; lower the first to {group} or raise the second"
        )
    if k == group:
        yield ("preprocess.pass_k", "actors.group_size"), (
            f"preprocess.pass_k={k} = actors.group_size tells no rollout from another: one success gives all {k} the "
            f"weight 1 (POPE eq. 7); lower the first to {k - 1} or raise the second"
        )


def overlong_penalty_leaves_room(config: RunConfig) -> Iterator[Violation]:
    overlong, longest = config.preprocess.overlong_tokens, config.actors.max_completion_tokens
    if overlong >= longest:
        yield ("preprocess.overlong_tokens", "actors.max_completion_tokens"), (
            f"preprocess.overlong_tokens={overlong} penalizes every rollout, because it is not "
            f"below actors.max_completion_tokens={longest}; lower the first below {longest}"
        )


def advantage_suits_the_rewards(config: RunConfig) -> Iterator[Violation]:
    advantage, overlong = config.preprocess.advantage, config.preprocess.overlong_tokens
    if advantage in ("maxrl", "pass_at_k") and overlong:
        yield ("preprocess.overlong_tokens", "preprocess.advantage"), (
            f"preprocess.overlong_tokens={overlong} gives rewards other than 0 and 1, and "
            f"preprocess.advantage={advantage} counts successes; set preprocess.overlong_tokens=0, or "
            "preprocess.advantage=mean"
        )
    if advantage in ("maxrl", "pass_at_k") and config.actors.oracle_member:
        yield ("preprocess.advantage", "actors.oracle_member"), (
            f"preprocess.advantage={advantage} estimates the success rate of the policy, and with "
            "actors.oracle_member=true one success of every group is the oracle solution; set "
            "preprocess.advantage=mean, or actors.oracle_member=false"
        )


def reward_suits_its_uses(config: RunConfig) -> Iterator[Violation]:
    reward, advantage = config.verifier.reward, config.preprocess.advantage
    if reward == "binary":
        return
    if advantage in ("maxrl", "pass_at_k"):
        yield ("verifier.reward", "preprocess.advantage"), (
            f"verifier.reward={reward[:80]} may give rewards other than 0 and 1, and preprocess.advantage={advantage} "
            "counts successes; set verifier.reward=binary, or preprocess.advantage=mean"
        )
    if config.actors.oracle_member:
        yield ("verifier.reward", "actors.oracle_member"), (
            f"verifier.reward={reward[:80]} has a scale of its own, and actors.oracle_member=true gives the oracle "
            "solution the reward 1; set verifier.reward=binary, or actors.oracle_member=false"
        )


def oracle_member_is_supported(config: RunConfig) -> Iterator[Violation]:
    if not config.actors.oracle_member:
        return
    if config.learner.policy_loss == "gspo":
        yield ("actors.oracle_member", "learner.policy_loss"), (
            "actors.oracle_member=true is not possible with learner.policy_loss=gspo: the oracle solution has no "
            "logprobs of a sampling policy, so its sequence has no ratio; set learner.policy_loss=ppo_clip, or "
            "actors.oracle_member=false"
        )
    if not config.problems.arms.get("unguided"):
        yield ("actors.oracle_member", "problems.arms"), (
            f"actors.oracle_member=true applies to groups of the arm unguided, and "
            f"problems.arms={config.problems.arms} draws none; set problems.arms.unguided=1, or "
            "actors.oracle_member=false"
        )


RULES: tuple[Rule, ...] = (
    ratio_bounds_suit_the_loss,
    ratio_mask_suits_the_loss,
    gspo_averages_over_sequences,
    pass_k_fits_the_group,
    dual_clip_suits_the_loss,
    overlong_penalty_leaves_room,
    advantage_suits_the_rewards,
    reward_suits_its_uses,
    oracle_member_is_supported,
)
