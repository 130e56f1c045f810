#!lua flags=allow-oom
-- Takes a group nobody can use off the rollout stream, keeps its bytes for a look and counts it as failed.
-- ARGV  consumer group, entry id, reason, how many dead letters to keep
-- Returns 1, or 0 when the entry had ended before.
local rollouts, dead_letters, counters, failures = unpack(KEYS)
local group, entry_id, reason, keep = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local entry = redis.call('XRANGE', rollouts, entry_id, entry_id)[1]
if not entry or redis.call('XACK', rollouts, group, entry_id) ~= 1 then return 0 end
redis.call('XDEL', rollouts, entry_id)
redis.call('HINCRBY', counters, 'failed.unreadable', 1)
if entry[2][1] == 'ordinal' then redis.call('HSET', failures, entry[2][2], 'unreadable') end
redis.call('XADD', dead_letters, 'MAXLEN', keep, '*', 'reason', reason, unpack(entry[2]))
return 1
