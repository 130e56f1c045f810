#!lua
-- Puts a finished group on the rollout stream and ends its lease, if the token still holds it.
-- Results are kept for ten minutes: a caller that lost the reply and repeats the call gets the same result.
-- ARGV  ordinal, token, frame, rollouts, prompt_tokens, completion_tokens, summary (see broker/group_outcomes.py)
-- Returns 1 (published, now or before) or 0 (another token holds the lease).
local leases, owners, claims, attempts, answered, rollouts, counters, written = unpack(KEYS)
local ordinal, token, frame = ARGV[1], ARGV[2], ARGV[3]
if not (tonumber(ARGV[4]) and tonumber(ARGV[5]) and tonumber(ARGV[6])) then
  return redis.error_reply('POPE publish: a size is not a number')
end

local answer = 'publish ' .. ordinal .. ' ' .. token
if redis.call('HGET', owners, ordinal) ~= token then
  return redis.call('ZSCORE', answered, answer) and 1 or 0
end

redis.call('XADD', rollouts, '*', 'ordinal', ordinal, 'group', frame)
redis.call('ZREM', leases, ordinal)
redis.call('HDEL', owners, ordinal)
redis.call('HDEL', claims, token)
redis.call('HDEL', attempts, ordinal)
redis.call('HSET', written, ordinal, ARGV[7])
redis.call('HINCRBY', counters, 'published', 1)
redis.call('HINCRBY', counters, 'rollouts', ARGV[4])
redis.call('HINCRBY', counters, 'prompt_tokens', ARGV[5])
redis.call('HINCRBY', counters, 'completion_tokens', ARGV[6])
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', answered, '-inf', now - 600)
redis.call('ZADD', answered, now, answer)
return 1
