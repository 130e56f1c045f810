#!lua flags=allow-oom
-- Takes a group nobody can use off the rollout stream, keeps its bytes for a look and counts it as failed.
-- ARGV  consumer group, entry id, reason, how many dead letters to keep
-- Returns 1, or 0 when the entry had ended before.
local rollouts, dead_letters, counters, ended = unpack(KEYS)
local group, entry_id, reason, keep = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local entry = redis.call('XRANGE', rollouts, entry_id, entry_id)[1]
if not entry or redis.call('XACK', rollouts, group, entry_id) ~= 1 then return 0 end
redis.call('XDEL', rollouts, entry_id)
redis.call('HINCRBY', counters, 'failed.unreadable', 1)
local ordinal = ''  -- an entry that no actor published may have none
for i = 1, #entry[2], 2 do
  if entry[2][i] == 'ordinal' then ordinal = entry[2][i + 1] end
end
redis.call('XADD', ended, '*', 'ordinal', ordinal, 'end', 'failed.unreadable')
redis.call('XADD', dead_letters, 'MAXLEN', keep, '*', 'reason', reason, unpack(entry[2]))
return 1
