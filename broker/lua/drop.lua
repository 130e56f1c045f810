#!lua flags=allow-oom
-- uses: rollout_outcomes, outcomes, arrivals, ledger
-- Removes a group from the rollout stream, counts it as filtered and adds its result to the ledger.
-- ARGV  consumer group, entry id, ordinal, reason, samples, arm, problem_id, judged rollouts, successes, step,
--       outcomes kept in the ledger
-- Returns 1, or 0 when the entry or its group had ended before.
local rollouts, counters, payload, forgotten = unpack(KEYS, 5)
local group, entry_id, ordinal, reason = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local samples, arm, problem = tonumber(ARGV[5]), ARGV[6], ARGV[7]
local num_judged, num_successes, step = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local kept = tonumber(ARGV[11])
if not (tonumber(ordinal) and samples and num_judged and num_successes and step and kept) then
  return redis.error_reply('POPE drop: an argument is not a number')
end

if redis.call('XACK', rollouts, group, entry_id) ~= 1 then return 0 end
redis.call('XDEL', rollouts, entry_id)
if must_skip(ordinal, samples, counters, payload, forgotten) then return 0 end

redis.call('HINCRBY', counters, 'filtered.' .. reason, 1)
record_outcome(ordinal, 'filtered.' .. reason)
update_ledger(ordinal, problem, arm, num_judged, num_successes, step, kept)
return 1
