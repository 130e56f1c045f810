"""Why a rollout got its verdict, in one sentence. Pure."""

from collections.abc import Sequence

from actors.verification.verifier import MAX_CLAIMS

UNCLAIMED = "It claims no answer: its box is missing, empty, open, inside a thought, or taken back"
_FAILED = "so the rollout has no reward and is not trained"


def verdict_reason(verdict: str, claimed: Sequence[str] | None, *, truncated: bool) -> str:
    """`claimed`: the answers that the response claims; None when the record has none. `truncated`: cut by the token
    budget."""
    count = len(claimed or ())
    match verdict:
        case "correct":
            return f"{'Every' if count > 1 else 'The'} claimed answer equals the gold answer."
        case "wrong" if count > MAX_CLAIMS:
            return f"It claims {count} different answers, more than the {MAX_CLAIMS} that are compared."
        case "wrong" if count > 1:
            return f"It claims {count} different answers, and not all of them equal the gold answer."
        case "wrong":
            return "The claimed answer differs from the gold answer."
        case "no_answer":
            return UNCLAIMED + ("; the token budget cut it." if truncated else ".")
        case "unparsable":
            return "math-verify cannot parse the claimed answer; its reward is 0."
        case "timeout":
            return f"The comparison took longer than verifier.deadline_s, {_FAILED}."
        case "crash":
            return f"The verifier's worker died over the comparison, {_FAILED}."
    return ""
