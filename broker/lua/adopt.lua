#!lua flags=allow-oom
-- uses: fence, rollout_outcomes, outcomes
-- Moves a server that is behind the learner (new, or one that lost its last second) forward to the learner's step.
-- Batches up to that step count as trained; steps that were never taken from this server are counted as skipped. The
-- groups of skipped steps, given as arguments, count as trained now if they are in the ring, else when they arrive again.
-- ARGV  step, incarnation of the learner, ordinals of groups it trained
-- Returns the newest committed step, never less than before.
local learner, batches, counters, ring, meta, payload, forgotten = unpack(KEYS, 5)
local step = tonumber(ARGV[1])
if not step then return redis.error_reply('POPE adopt: the step is not a number') end
local refusal = fenced(learner, ARGV[2], 'adopt')
if refusal then return refusal end

local committed = tonumber(redis.call('HGET', learner, 'committed') or 0)
local taken = tonumber(redis.call('HGET', learner, 'taken') or 0)
if step <= committed then return committed end

for _, entry in ipairs(redis.call('XRANGE', batches, (committed + 1) .. '-0', step .. '-0')) do
  redis.call('HINCRBY', counters, 'trained', entry[2][4])
  redis.call('HINCRBY', counters, 'trained_samples', entry[2][6])
  for ordinal in entry[2][2]:gmatch('%d+') do record_outcome(ordinal, 'trained') end
end
for i = 3, #ARGV do
  local ordinal = ARGV[i]
  local waiting = redis.call('HGET', meta, ordinal)
  if waiting then
    redis.call('ZREM', ring, ordinal)
    redis.call('HDEL', meta, ordinal)
    redis.call('HDEL', payload, ordinal)
    redis.call('HINCRBY', counters, 'trained', 1)
    redis.call('HINCRBY', counters, 'trained_samples', waiting:match('^%d+'))
    record_outcome(ordinal, 'trained')
  elseif not has_ended(ordinal) then
    redis.call('SADD', forgotten, ordinal)
  end
end
if step > taken then
  redis.call('HINCRBY', learner, 'skipped', step - taken)
  redis.call('HSET', learner, 'taken', step)
end
redis.call('HSET', learner, 'committed', step)
return step
