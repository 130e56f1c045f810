#!lua flags=allow-oom
-- uses: fence, rollout_outcomes, outcomes
-- Counts the batch of a step as trained, once.
-- ARGV  step, incarnation of the learner
-- Returns 1, or 0 when the step was committed before.
local learner, batches, counters = unpack(KEYS, 5)
local step = tonumber(ARGV[1])
if not step then return redis.error_reply('POPE commit: the step is not a number') end
local refusal = fenced(learner, ARGV[2], 'commit')
if refusal then return refusal end

local committed = tonumber(redis.call('HGET', learner, 'committed') or 0)
if step <= committed then return 0 end
local entry = redis.call('XRANGE', batches, step .. '-0', step .. '-0')[1]
if step ~= committed + 1 or not entry then
  return redis.error_reply(
    'POPE behind: commit: step ' .. step .. ' was not taken next, the newest committed is ' .. committed)
end

redis.call('HINCRBY', counters, 'trained', entry[2][4])
redis.call('HINCRBY', counters, 'trained_samples', entry[2][6])
for ordinal in entry[2][2]:gmatch('%d+') do record_outcome(ordinal, 'trained') end
redis.call('HSET', learner, 'committed', step)
return 1
