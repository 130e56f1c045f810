#!lua flags=allow-oom
-- Ends leases: those past their deadline, or all of one owner. Their groups are issued again, or counted as failed
-- after max_attempts leases.
-- Leases age by the server's clock, but by at most 5 s between two calls, so that they do not expire because the clock
-- was set, or during an outage in which they could not be renewed.
-- ARGV  owner ('': expired leases), max_attempts (-1: no bound, and this lease does not count as an attempt)
-- Returns the number of leases ended.
local leases, owners, claims, attempts, reissue, counters, failures, feed = unpack(KEYS)
local owner, max_attempts = ARGV[1], tonumber(ARGV[2])
if not max_attempts then return redis.error_reply('POPE reclaim: max_attempts is not a number') end

local ending
if owner == '' then
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local passed = now - tonumber(redis.call('HGET', feed, 'looked_ms') or now)
  if passed < 0 or passed > 5000 then
    for _, ordinal in ipairs(redis.call('ZRANGE', leases, 0, -1)) do
      redis.call('ZINCRBY', leases, passed < 0 and passed or passed - 5000, ordinal)
    end
  end
  redis.call('HSET', feed, 'looked_ms', string.format('%d', now))
  ending = redis.call('ZRANGE', leases, '-inf', now, 'BYSCORE')
else
  ending = {}
  local prefix = owner .. '/'
  for _, ordinal in ipairs(redis.call('ZRANGE', leases, 0, -1)) do
    local token = redis.call('HGET', owners, ordinal)
    if token and token:sub(1, #prefix) == prefix then ending[#ending + 1] = ordinal end
  end
  table.sort(ending, function(a, b) return tonumber(a) < tonumber(b) end)
end

for _, ordinal in ipairs(ending) do
  local token = redis.call('HGET', owners, ordinal)
  redis.call('ZREM', leases, ordinal)
  redis.call('HDEL', owners, ordinal)
  redis.call('HDEL', claims, token)
  if max_attempts < 0 then
    redis.call('HINCRBY', attempts, ordinal, -1)
    redis.call('RPUSH', reissue, ordinal)
  elseif tonumber(redis.call('HGET', attempts, ordinal)) < max_attempts then
    redis.call('RPUSH', reissue, ordinal)
  else
    redis.call('HDEL', attempts, ordinal)
    redis.call('HINCRBY', counters, 'failed.attempts', 1)
    redis.call('HSET', failures, ordinal, 'attempts')
  end
end
return #ending
