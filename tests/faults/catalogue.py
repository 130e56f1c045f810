"""The catalogue of faults: each is injected by number and seed, `(folder, seed) -> Outcome`.

The tests inject each with one seed; `chaos.py` injects them under many seeds and adds up the outcomes.
"""

from tests.faults.actor_faults import POINTS as OF_ACTORS
from tests.faults.actor_faults import RANDOM_KILLS, actor_hangs, actor_killed
from tests.faults.broker_faults import KILLS as SERVER_KILLS
from tests.faults.broker_faults import LOST_REPLIES, TORN_KILLS, out_of_memory, reply_lost, server_killed
from tests.faults.checkpoint_faults import DAMAGES, OF_EVERY_RANK, OF_RANK_0, RANKS, cut_off, damaged
from tests.faults.command_faults import CHANGES, SIGNALS, changed_settings, ended_by_signal, second_job
from tests.faults.disk_faults import disk_full
from tests.faults.learner_faults import KILLS as LEARNER_KILLS
from tests.faults.learner_faults import learner_killed, not_finite
from tests.faults.namespaces import unavailable as no_namespaces
from tests.faults.outcome import Fault
from tests.faults.partition_faults import OUTAGES_S, partitioned
from tests.faults.preprocess_faults import POINTS, POISONS, malformed_records, preprocessor_killed
from tests.faults.rank_faults import PUBLISHING, killed_in_publish, learner_stopped, rank_killed
from tests.faults.stream_faults import COPIES, JUMPS, LATE, clock_jumps, duplicated
from tests.faults.verifier_faults import verifier_fault

FAULTS = {
    fault.number: fault
    for fault in (
        Fault("F1", "an actor is killed in every phase of a group", len(OF_ACTORS) + RANDOM_KILLS, actor_killed),
        Fault("F2", "a reply of Redis is lost", LOST_REPLIES, reply_lost),
        Fault("F3", "a preprocessor is killed while it holds groups", len(POINTS), preprocessor_killed),
        Fault("F5", "the learner is killed in mid-step", len(LEARNER_KILLS), learner_killed),
        Fault("F6", "one rank of the learner is killed", 2, rank_killed),
        Fault("F7", "the learner is killed while it publishes weights", len(PUBLISHING), killed_in_publish),
        Fault("F8", "an actor hangs in a weight update, then dies in one", 2, actor_hangs),
        Fault("F9", "a rank is killed in mid-checkpoint", RANKS * len(OF_EVERY_RANK) + len(OF_RANK_0), cut_off),
        Fault("F10", "the disk is full when a checkpoint is saved", 5, disk_full),
        Fault("F11", "a checkpoint is damaged", DAMAGES, damaged),
        Fault("F12", "Redis is killed under load, its file torn", SERVER_KILLS + TORN_KILLS + 1, server_killed),
        Fault("F13", "Redis is out of memory", 1, out_of_memory),
        Fault("F14", "the network between a role and Redis is cut", len(OUTAGES_S), partitioned, no_namespaces),
        Fault("F15", "the learner hangs, is replaced, and resumes", 1, learner_stopped),
        Fault("F16", "groups are delivered twice", COPIES + LATE, duplicated),
        Fault("F17", "a record is malformed", len(POISONS), malformed_records),
        Fault("F18", "an answer hangs or kills its verifier", 8, verifier_fault),
        Fault("F19", "a loss is not finite", 1, not_finite),
        Fault("F20", "the server's clock jumps", JUMPS, clock_jumps),
        Fault("F21", "a signal ends the run", len(SIGNALS), ended_by_signal),
        Fault("F22", "a second job on the same folder", 5, second_job),
        Fault("F23", "a run is resumed under other settings", len(CHANGES), changed_settings),
    )
}
