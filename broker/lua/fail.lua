#!lua flags=allow-oom
-- Ends the lease of a group that its actor could not finish, and counts the group as failed.
-- ARGV  ordinal, token, reason
-- Returns 1 (counted, now or before) or 0 (another token holds the lease).
local leases, owners, claims, attempts, answered, counters, failures = unpack(KEYS)
local ordinal, token, reason = ARGV[1], ARGV[2], ARGV[3]

local answer = 'fail ' .. ordinal .. ' ' .. token
if redis.call('HGET', owners, ordinal) ~= token then
  return redis.call('ZSCORE', answered, answer) and 1 or 0
end

redis.call('HINCRBY', counters, 'failed.' .. reason, 1)
redis.call('HSET', failures, ordinal, reason)
redis.call('ZREM', leases, ordinal)
redis.call('HDEL', owners, ordinal)
redis.call('HDEL', claims, token)
redis.call('HDEL', attempts, ordinal)
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', answered, '-inf', now - 600)
redis.call('ZADD', answered, now, answer)
return 1
