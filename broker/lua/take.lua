#!lua flags=allow-oom
-- uses: fence, rollout_outcomes, outcomes
-- Assigns a batch to a step: drops groups that are too old, then moves whole groups that sum to exactly the requested
-- number of samples from the ring to the batch log: first those that no later step can train, then the oldest. While
-- such a group is still being written, and the ring is not full, the step waits for it. A repeated call for a step
-- returns the same batch.
-- ARGV  step, samples, max_lag (-1: no bound), incarnation of the learner, capacity of the ring
-- Returns the ordinals joined by spaces, or nothing when the ring holds too few samples.
local ring, meta, payload, batches, learner, counters, claimed, leases, rollouts = unpack(KEYS, 5)
local step, samples, max_lag, capacity = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[5])
if not (step and samples and max_lag and capacity) then return redis.error_reply('POPE take: an argument is not a number') end
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

local oldest = step - 1 - max_lag  -- version of the groups that this step is the last to train
local last_chance, others, occupied, largest = {}, {}, 0, 0
for _, ordinal in ipairs(redis.call('ZRANGE', ring, 0, -1)) do
  local size, version = redis.call('HGET', meta, ordinal):match('^(%d+) (%d+)')
  size, version = tonumber(size), tonumber(version)
  if max_lag >= 0 and version < oldest then
    redis.call('ZREM', ring, ordinal)
    redis.call('HDEL', meta, ordinal)
    redis.call('HDEL', payload, ordinal)
    redis.call('HINCRBY', counters, 'stale', 1)
    record_outcome(ordinal, 'stale')
  else
    local group = {ordinal, size}
    if max_lag >= 0 and version == oldest then
      last_chance[#last_chance + 1] = group
    else
      others[#others + 1] = group
    end
    occupied, largest = occupied + size, math.max(largest, size)
  end
end

local batch, total = {}, 0
for _, groups in ipairs({last_chance, others}) do
  for _, group in ipairs(groups) do
    if total + group[2] <= samples then
      batch[#batch + 1] = group[1]
      total = total + group[2]
    end
  end
end
if total < samples then return false end

-- Whether a group that this step is the last to train is leased, or published and not in the ring yet.
local function is_awaited()
  local found, on_stream = false, redis.call('XLEN', rollouts) > 0
  local fields = redis.call('HGETALL', claimed)
  for i = 1, #fields, 2 do
    local ordinal, version = fields[i], tonumber(fields[i + 1])
    if version <= oldest and redis.call('HEXISTS', meta, ordinal) == 0 then
      local leased = redis.call('ZSCORE', leases, ordinal)
      local published = on_stream and redis.call('HEXISTS', written, ordinal) == 1 and not has_ended(ordinal)
      if version == oldest and (leased or published) then
        found = true
      else
        redis.call('HDEL', claimed, ordinal)
      end
    end
  end
  return found
end
if max_lag >= 0 and occupied + largest <= capacity and is_awaited() then return false end

for _, ordinal in ipairs(batch) do
  redis.call('ZREM', ring, ordinal)
  redis.call('HDEL', meta, ordinal)
  redis.call('HDEL', claimed, ordinal)
end
local joined = table.concat(batch, ' ')
redis.call('XADD', batches, step .. '-0', 'ordinals', joined, 'groups', #batch, 'samples', total)
redis.call('HSET', learner, 'taken', step)
return joined
