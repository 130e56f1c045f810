#!lua flags=no-writes
-- Lists where every issued group is, at one moment.
-- Returns issued; the ordinals that are leased, to be reissued, on the stream ('' for an entry without one), in the
-- ring; the kept batches as {id, ordinals joined by spaces}; committed, taken; `ended`, `ended:codes`, `failures`; the
-- counters; skipped.
local leases, reissue, rollouts, ring, batches, learner, ended, ended_codes, failures, counters = unpack(KEYS)

local stream = {}
for i, entry in ipairs(redis.call('XRANGE', rollouts, '-', '+')) do
  stream[i] = ''
  for j = 1, #entry[2], 2 do
    if entry[2][j] == 'ordinal' then stream[i] = entry[2][j + 1] end
  end
end

local kept = {}
for i, entry in ipairs(redis.call('XRANGE', batches, '-', '+')) do kept[i] = {entry[1], entry[2][2]} end

return {
  tonumber(redis.call('HGET', counters, 'issued') or 0), redis.call('ZRANGE', leases, 0, -1),
  redis.call('LRANGE', reissue, 0, -1), stream, redis.call('ZRANGE', ring, 0, -1), kept,
  tonumber(redis.call('HGET', learner, 'committed') or 0), tonumber(redis.call('HGET', learner, 'taken') or 0),
  redis.call('GET', ended), redis.call('HGETALL', ended_codes), redis.call('HGETALL', failures),
  redis.call('HGETALL', counters), tonumber(redis.call('HGET', learner, 'skipped') or 0),
}
