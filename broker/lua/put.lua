#!lua flags=allow-oom
-- uses: rollout_outcomes, outcomes, arrivals, ledger
-- Moves a group from the rollout stream into the ring. A full ring removes whole groups, oldest first; under `wait` the
-- put is refused and the group stays on the stream.
-- ARGV  consumer group, entry id, ordinal, frame, samples, oldest_version, arm, problem_id,
--       judged rollouts, successes, step, outcomes kept in the ledger, capacity, when_full
-- Returns 1 (stored), 0 (the entry or its group had ended before) or -1 (full).
local rollouts, counters, payload, forgotten, ring, meta, replaced = unpack(KEYS, 5)
local group, entry_id, ordinal, frame = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local samples, version, arm, problem = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7], ARGV[8]
local num_judged, num_successes, step = tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])
local kept, capacity, when_full = tonumber(ARGV[12]), tonumber(ARGV[13]), ARGV[14]
if not (tonumber(ordinal) and samples and version and num_judged and num_successes and step and kept and capacity) then
  return redis.error_reply('POPE put: an argument is not a number')
end
if samples > capacity then
  return redis.error_reply('POPE put: a group of ' .. samples .. ' samples does not fit a ring of ' .. capacity)
end

if #redis.call('XPENDING', rollouts, group, entry_id, entry_id, 1) == 0 then return 0 end

if must_skip(ordinal, samples, counters, payload, forgotten) then
  redis.call('XACK', rollouts, group, entry_id)
  redis.call('XDEL', rollouts, entry_id)
  return 0
end

local occupied = 0
for _, value in ipairs(redis.call('HVALS', meta)) do occupied = occupied + tonumber(value:match('^%d+')) end
if occupied + samples > capacity and when_full == 'wait' then return -1 end

redis.call('XACK', rollouts, group, entry_id)
redis.call('XDEL', rollouts, entry_id)

while occupied + samples > capacity do
  local victim = redis.call('ZPOPMIN', ring)[1]
  local value = redis.call('HGET', meta, victim)
  redis.call('HDEL', meta, victim)
  redis.call('HDEL', payload, victim)
  redis.call('HINCRBY', counters, 'replaced', 1)
  record_outcome(victim, 'replaced')
  redis.call('XADD', replaced, 'MAXLEN', '~', 10000, '*', 'ordinal', victim, 'meta', value, 'newcomer', ordinal)
  occupied = occupied - tonumber(value:match('^%d+'))
end

local arrival = redis.call('HINCRBY', counters, 'admitted', 1)
redis.call('ZADD', ring, arrival, ordinal)
redis.call('HSET', meta, ordinal, samples .. ' ' .. version .. ' ' .. arm .. ' ' .. problem)
redis.call('HSET', payload, ordinal, frame)

update_ledger(ordinal, problem, arm, num_judged, num_successes, step, kept)
return 1
