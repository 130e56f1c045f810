"""Model FLOPs of a packed row, as in "PaLM" (arXiv 2204.02311, appendix B), for the utilization of the learner.

A trained token costs 6 FLOPs for each parameter that it is multiplied with: 2 forward, 4 backward. Attention costs
12 L H D for each pair of a query and a key it attends to: 2 products of 2 D FLOPs forward, twice that backward, in H
heads of L layers. What is computed counts, and only once: a prompt shared by the rollouts of a group is one prompt;
layers recomputed by `learner.gradient_checkpointing`, and chunks of logits recomputed in the backward pass, count 0.

Embeddings are looked up, not multiplied. The head is multiplied only at positions that predict a trained token. Of a
mixture of experts, each expert counts by the share of tokens it gets. Sliding windows are not subtracted: such a layer
counts as if it attended to every earlier token. If layers differ in the size of a head, the largest counts.
"""

from dataclasses import dataclass

from learner.attention.layout import Layout
from learner.batch_feed import Row
from learner.model import Policy

_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")
_EXPERTS_PER_TOKEN = ("num_experts_per_tok", "num_experts_per_token", "moe_topk")


@dataclass(frozen=True)
class ModelCost:
    """What the FLOPs of a model depend on."""

    body_parameters: float
    """Parameters each token is multiplied with, without embeddings and head."""
    head_parameters: int
    """Vocabulary * hidden size."""
    attention_width: int
    """L H D: layers * query heads * head size."""

    def row_flops(self, row: Row) -> float:
        """Forward and backward pass of a row."""
        return self.flops(row.layout, len(row.targets))

    def flops(self, layout: Layout, num_trained: int) -> float:
        """Forward and backward pass of a row with `num_trained` predicting positions."""
        tokens = sum(prompt + sum(rollouts) for prompt, rollouts in layout)
        dense = 6 * (self.body_parameters * tokens + self.head_parameters * num_trained)
        return dense + 12.0 * self.attention_width * attended_pairs(layout)


def attended_pairs(layout: Layout) -> int:
    """Pairs of a query and a key: token i of a prompt of p tokens has i + 1 keys, token i of a rollout p + i + 1.

    ((2, (1, 2)),): 1 + 2 in the prompt, 3 in the first rollout, 3 + 4 in the second = 13.
    """
    pairs = 0
    for prompt, rollouts in layout:
        pairs += prompt * (prompt + 1) // 2
        pairs += sum(prompt * tokens + tokens * (tokens + 1) // 2 for tokens in rollouts)
    return pairs


def model_cost(policy: Policy) -> ModelCost:
    """The cost of a policy whose parameters are whole on this rank."""
    config = policy.lm.config.get_text_config()
    embedded = {id(p) for p in policy.lm.get_input_embeddings().parameters()}
    head = policy.lm.get_output_embeddings()
    counted = {id(p) for p in head.parameters(recurse=False)} | embedded
    share = _expert_share(config)
    body = sum(
        parameter.numel() * (share if ".experts." in name else 1.0)
        for name, parameter in policy.named_parameters()
        if id(parameter) not in counted
    )
    heads = getattr(config, "num_attention_heads", 0)  # none in a recurrent model
    sizes = {size for module in policy.lm.modules() if isinstance(size := getattr(module, "head_dim", None), int)}
    head_size = max(sizes, default=config.hidden_size // heads if heads else 0)
    return ModelCost(body, head.weight.numel(), config.num_hidden_layers * heads * head_size)


def _expert_share(config: object) -> float:
    """Experts of a token / experts of a layer; 1 without a mixture of experts."""
    experts = next((n for name in _EXPERTS if (n := getattr(config, name, None))), None)
    chosen = next((n for name in _EXPERTS_PER_TOKEN if (n := getattr(config, name, None))), None)
    return chosen / experts if experts and chosen else 1.0
