#!lua flags=no-writes
-- One look at where every issued group is, group by group.
-- Returns issued, the ordinals that are leased, to be reissued, on the stream ('' without one), in the ring; the batches
-- that are kept as {id, ordinals joined by spaces}; committed, taken; the id of the newest ended group; the counters.
local feed, leases, reissue, rollouts, ring, batches, learner, ended, counters = unpack(KEYS)

local stream = {}
for i, entry in ipairs(redis.call('XRANGE', rollouts, '-', '+')) do
  stream[i] = ''
  for j = 1, #entry[2], 2 do
    if entry[2][j] == 'ordinal' then stream[i] = entry[2][j + 1] end
  end
end

local kept = {}
for i, entry in ipairs(redis.call('XRANGE', batches, '-', '+')) do kept[i] = {entry[1], entry[2][2]} end

local newest = redis.call('XREVRANGE', ended, '+', '-', 'COUNT', 1)[1]
return {
  tonumber(redis.call('HGET', counters, 'issued') or 0), redis.call('ZRANGE', leases, 0, -1),
  redis.call('LRANGE', reissue, 0, -1), stream, redis.call('ZRANGE', ring, 0, -1), kept,
  tonumber(redis.call('HGET', learner, 'committed') or 0), tonumber(redis.call('HGET', learner, 'taken') or 0),
  newest and newest[1] or '0-0', redis.call('HGETALL', counters),
}
