#!lua flags=no-writes
-- Counts all groups by outcome and by place, at one moment.
-- Returns the counters, then leased, reissue, stream, ring, taken (groups), ring samples, committed, taken step, limit.
local counters, leases, reissue, rollouts, ring, meta, batches, learner, feed = unpack(KEYS)
local committed = tonumber(redis.call('HGET', learner, 'committed') or 0)
local taken = 0
for _, entry in ipairs(redis.call('XRANGE', batches, (committed + 1) .. '-0', '+')) do
  taken = taken + tonumber(entry[2][4])
end
local samples = 0
for _, value in ipairs(redis.call('HVALS', meta)) do samples = samples + tonumber(value:match('^%d+')) end
return {
  redis.call('HGETALL', counters), redis.call('ZCARD', leases), redis.call('LLEN', reissue),
  redis.call('XLEN', rollouts), redis.call('ZCARD', ring), taken, samples, committed,
  tonumber(redis.call('HGET', learner, 'taken') or 0), tonumber(redis.call('HGET', feed, 'limit') or -1),
}
