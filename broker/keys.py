"""The Redis keys of a run.

All keys of a run share the hash tag `{name}`, so that scripts stay on one node of a cluster and an ACL can
separate runs. On the wire a group id is called `ordinal`. Types and meanings:

    pope:{name}:run            hash    layout (version of this table: `run_record.LAYOUT`), settings_hash,
                                       opened_unix_s, born (random id of these keys, new after a loss of data);
                                       settings (JSON, no password), num_hard (hard problems, once training begins)
    pope:{name}:feed           hash    cursor (next group id), limit, looked_ms (server milliseconds of the last check
                                       for expired leases)
    pope:{name}:leases         zset    group id -> deadline (server milliseconds)
    pope:{name}:owners         hash    group id -> claim token of the actor that holds it
    pope:{name}:claims         hash    claim token -> group id: a repeated claim gets the same one
    pope:{name}:claimed        hash    group id -> version that its actor's engine held at the claim, while a step may
                                       have to wait for the group; only with `learner.max_lag`
    pope:{name}:attempts       hash    group id -> leases given so far
    pope:{name}:reissue        list    group ids whose lease expired, oldest first
    pope:{name}:written        hash    group id -> "bucket arm LENGTH ...", in flight (group_outcomes.py)
    pope:{name}:fates          hash    "bucket arm OUTCOME LENGTH" -> rollouts, of the published groups that ended
    pope:{name}:ended          string  one byte a group id: the code of its outcome; 0 or past the end: not ended, or
                                       failed
    pope:{name}:ended:codes    hash    trained, filtered.REASON, replaced or stale -> code, from 1 on
    pope:{name}:failures       hash    group id -> reason, for the groups counted as failed.REASON
    pope:{name}:assignments    list    "SHARE PROBLEM" by group id, when `problems.sampling` chooses by earlier results
    pope:{name}:tasks          list    Task frames by group id, in a sampling stage
    pope:{name}:answered       zset    "publish ORDINAL TOKEN" -> server seconds: results of the last ten minutes
    pope:{name}:rollouts       stream  field `group`: a RolloutGroup frame; consumer group `preprocess`
    pope:{name}:ring           zset    group id -> arrival number: the groups in the ring, oldest first
    pope:{name}:ring:meta      hash    group id -> "samples oldest_version arm problem_id"
    pope:{name}:payload        hash    group id -> TrainGroup frame, until a checkpoint covers it
    pope:{name}:batches        stream  id `STEP-0`, fields ordinals, groups, samples: the learner's write-ahead log
    pope:{name}:learner        hash    committed (newest trained step), taken (newest taken step), skipped (steps the
                                       learner trained that were never taken here), admitted (the incarnation of
                                       the learner that may write; see `Ring.admit`)
    pope:{name}:forgotten      set     group ids the learner trained and this server lost: counted when they arrive
    pope:{name}:counters       hash    groups: issued, published, admitted, trained, filtered.REASON, replaced, stale,
                                       failed.REASON; rollouts, prompt_tokens, completion_tokens, trained_samples; and
                                       duplicates (stream entries of a group that arrived before), unissued (of a
                                       group that was never issued)
    pope:{name}:replaced       stream  which group a full ring removed, for which newer one
    pope:{name}:dead_letters   stream  the beginning of unreadable frames, with the reason and their size
    pope:{name}:ledger:attempts / :successes / :first_solve   hash  "problem_id|arm" -> number
    pope:{name}:ledger:outcomes   hash "problem_id|arm" -> "step:successes/judged ..." of its newest 16 groups with a
                                       judged rollout, oldest first; step as in first_solve
    pope:{name}:weights        stream  id `VERSION-1`, field `announcement`: a WeightAnnouncement frame
    pope:{name}:weights:board  hash    version (newest published), awaits_learner (1: engines sample nothing until a
                                       learner that resumes has published)
    pope:{name}:weights:held   hash    actor -> version its engine holds
    pope:{name}:metrics:ROOM   stream  plain text fields; one entry a report (actors, preprocess, learner, sft), one
                                       a group that ended preprocessing (groups), or one a message of the driver
                                       (deploy)
    pope:{name}:samples        stream  readable rollouts: broker/rollout_samples.py lists the fields
    pope:{name}:samples:shown  list    "ORDINAL INDEX" of the newest samples, newest first
    pope:{name}:samples:ratios stream  ordinal, index, step, ratios: pi / pi_behaviour of the tokens of a sample in the
                                       step that trained it
    pope:{name}:heartbeats     hash    role -> "unix_ms status"
    pope:{name}:health         hash    role -> its health: healthy, suspect, dead, restarting, stale
    pope:{name}:control        hash    stop: why the run ends
"""

PREPROCESS_GROUP = "preprocess"
"""Consumer group of the rollout stream."""

EVALUATION_STAGE = "evaluation"
"""The stage whose tasks actors sample alongside their training groups."""


def stage_name(run: str, stage: str) -> str:
    """The key name of a sampling stage. The name of a run contains no colon, so it cannot collide."""
    return f"{run}:{stage}"


class Keys:
    """The keys of the run `name`."""

    def __init__(self, name: str) -> None:
        self.prefix = f"pope:{{{name}}}:"
        self.run = self.prefix + "run"
        self.feed = self.prefix + "feed"
        self.leases = self.prefix + "leases"
        self.owners = self.prefix + "owners"
        self.claims = self.prefix + "claims"
        self.claimed_versions = self.prefix + "claimed"
        self.attempts = self.prefix + "attempts"
        self.reissue = self.prefix + "reissue"
        self.written = self.prefix + "written"
        self.rollout_outcomes = self.prefix + "fates"
        self.ended = self.prefix + "ended"
        self.ended_codes = self.prefix + "ended:codes"
        self.failures = self.prefix + "failures"
        self.assignments = self.prefix + "assignments"
        self.tasks = self.prefix + "tasks"
        self.answered = self.prefix + "answered"
        self.rollouts = self.prefix + "rollouts"
        self.ring = self.prefix + "ring"
        self.ring_meta = self.prefix + "ring:meta"
        self.payload = self.prefix + "payload"
        self.batches = self.prefix + "batches"
        self.learner = self.prefix + "learner"
        self.forgotten = self.prefix + "forgotten"
        self.counters = self.prefix + "counters"
        self.replaced = self.prefix + "replaced"
        self.dead_letters = self.prefix + "dead_letters"
        self.ledger_attempts = self.prefix + "ledger:attempts"
        self.ledger_successes = self.prefix + "ledger:successes"
        self.ledger_first_solve = self.prefix + "ledger:first_solve"
        self.ledger_outcomes = self.prefix + "ledger:outcomes"
        self.weights = self.prefix + "weights"
        self.weights_board = self.prefix + "weights:board"
        self.weights_held = self.prefix + "weights:held"
        self.samples = self.prefix + "samples"
        self.samples_shown = self.prefix + "samples:shown"
        self.samples_ratios = self.prefix + "samples:ratios"
        self.heartbeats = self.prefix + "heartbeats"
        self.health = self.prefix + "health"
        self.control = self.prefix + "control"

    def metrics(self, room: str) -> str:
        """The metrics stream of one room: actors, preprocess, learner, sft, groups or deploy."""
        return f"{self.prefix}metrics:{room}"
