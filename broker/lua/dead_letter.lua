#!lua flags=allow-oom
-- uses: rollout_outcomes
-- Removes an unreadable entry from the rollout stream, keeps the beginning of its fields and counts it as failed.
-- ARGV  consumer group, entry id, reason, number of dead letters to keep, bytes to keep of each of its first fields
-- Returns 1, or 0 when the entry had been acknowledged before.
local rollouts, dead_letters, counters, failures, written, fates = unpack(KEYS)
local group, entry_id, reason, keep, bytes = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
if not bytes then return redis.error_reply('POPE dead_letter: the bytes to keep are not a number') end
local entry = redis.call('XRANGE', rollouts, entry_id, entry_id)[1]
if not entry then return 0 end

local kept, size, ordinal = {}, 0, nil
for i = 1, #entry[2], 2 do
  local name, value = entry[2][i], entry[2][i + 1]
  size = size + #value
  if name == 'ordinal' and value:find('^%d+$') and #value < 16 then ordinal = value end
  if i < 8 then
    kept[i], kept[i + 1] = name:sub(1, bytes), value:sub(1, bytes)
  end
end

if redis.call('XACK', rollouts, group, entry_id) ~= 1 then return 0 end
redis.call('XDEL', rollouts, entry_id)
redis.call('HINCRBY', counters, 'failed.unreadable', 1)
if ordinal then
  redis.call('HSET', failures, ordinal, 'unreadable')
  count_rollouts(written, fates, ordinal, 'failed.unreadable')
end
redis.call('XADD', dead_letters, 'MAXLEN', keep, '*', 'reason', reason, 'bytes', size, unpack(kept))
return 1
