#!lua flags=allow-oom
-- uses: fence, rollout_outcomes, outcomes
-- Assigns a batch to a step: drops groups that are too old, then moves the oldest whole groups that sum to exactly the
-- requested number of samples from the ring to the batch log. A repeated call for a step returns the same batch.
-- ARGV  step, samples, max_lag (-1: no bound), incarnation of the learner
-- Returns the ordinals joined by spaces, or nothing when the ring holds too few samples.
local ring, meta, payload, batches, learner, counters = unpack(KEYS, 5)
local step, samples, max_lag = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
if not (step and samples and max_lag) then return redis.error_reply('POPE take: an argument is not a number') end
local refusal = fenced(learner, ARGV[4], 'take')
if refusal then return refusal end

local taken = tonumber(redis.call('HGET', learner, 'taken') or 0)
if step <= taken then
  local entry = redis.call('XRANGE', batches, step .. '-0', step .. '-0')[1]
  if not entry then return redis.error_reply('POPE take: the batch of step ' .. step .. ' is no longer kept') end
  return entry[2][2]
end
if step ~= taken + 1 then
  return redis.error_reply('POPE behind: take: step ' .. step .. ' asked for, the newest step taken is ' .. taken)
end

local batch, total = {}, 0
for _, ordinal in ipairs(redis.call('ZRANGE', ring, 0, -1)) do
  local size, version = redis.call('HGET', meta, ordinal):match('^(%d+) (%d+)')
  size, version = tonumber(size), tonumber(version)
  if max_lag >= 0 and step - 1 - version > max_lag then
    redis.call('ZREM', ring, ordinal)
    redis.call('HDEL', meta, ordinal)
    redis.call('HDEL', payload, ordinal)
    redis.call('HINCRBY', counters, 'stale', 1)
    record_outcome(ordinal, 'stale')
  elseif total + size <= samples then
    batch[#batch + 1] = ordinal
    total = total + size
  end
end
if total < samples then return false end

for _, ordinal in ipairs(batch) do
  redis.call('ZREM', ring, ordinal)
  redis.call('HDEL', meta, ordinal)
end
local joined = table.concat(batch, ' ')
redis.call('XADD', batches, step .. '-0', 'ordinals', joined, 'groups', #batch, 'samples', total)
redis.call('HSET', learner, 'taken', step)
return joined
