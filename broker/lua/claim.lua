#!lua
-- Leases one group to a claim token: a returned ordinal if there is one, else the next new one.
-- A repeated claim of a token that holds a lease gets the same ordinal and a new deadline.
-- ARGV  token, held_version, batch_groups, max_lag (-1: no bound), lease_ms, high_water
-- Returns the ordinal, or why there is none: -1 all are leased, -2 none ever again, -3 the stream is full, -4 lag bound.
local feed, leases, owners, claims, attempts, reissue, counters, rollouts, learner, claimed = unpack(KEYS)
local token = ARGV[1]
local held_version, batch_groups, max_lag = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local lease_ms, high_water = tonumber(ARGV[5]), tonumber(ARGV[6])
if not (held_version and batch_groups and max_lag and lease_ms and high_water) then
  return redis.error_reply('POPE claim: an argument is not a number')
end

local time = redis.call('TIME')
local deadline = time[1] * 1000 + math.floor(time[2] / 1000) + lease_ms

local function lease(ordinal)
  redis.call('ZADD', leases, deadline, ordinal)
  redis.call('HSET', owners, ordinal, token)
  redis.call('HSET', claims, token, ordinal)
  if max_lag >= 0 then redis.call('HSET', claimed, ordinal, held_version) end
  return tonumber(ordinal)
end

local function dropped()
  local sum, fields = 0, redis.call('HGETALL', counters)
  for i = 1, #fields, 2 do
    local name = fields[i]
    if name == 'replaced' or name == 'stale' or name:find('^filtered%.') or name:find('^failed%.') then
      sum = sum + tonumber(fields[i + 1])
    end
  end
  return sum
end

local held = redis.call('HGET', claims, token)
if held then return lease(held) end

if redis.call('XLEN', rollouts) >= high_water then return -3 end

-- No step could train what an engine with such old weights samples, also if it is a returned ordinal.
if max_lag >= 0 and held_version + max_lag < tonumber(redis.call('HGET', learner, 'taken') or 0) then return -4 end

local returned = redis.call('LPOP', reissue)
if returned then
  redis.call('HINCRBY', attempts, returned, 1)
  return lease(returned)
end

local cursor = tonumber(redis.call('HGET', feed, 'cursor') or 0)
local limit = tonumber(redis.call('HGET', feed, 'limit') or -1)
if limit >= 0 and cursor >= limit then
  -- The group of a lease may be issued again, so the feed is exhausted only when no lease is left.
  return redis.call('ZCARD', leases) > 0 and -1 or -2
end

if max_lag >= 0 then
  -- Groups that steps 1 .. held_version + 1 + max_lag can train. Skipped steps took no groups of this server.
  local skipped = tonumber(redis.call('HGET', learner, 'skipped') or 0)
  local issued = tonumber(redis.call('HGET', counters, 'issued') or 0)
  if issued - dropped() >= batch_groups * (held_version + 1 + max_lag - skipped) then return -4 end
end

redis.call('HINCRBY', feed, 'cursor', 1)
redis.call('HINCRBY', counters, 'issued', 1)
redis.call('HINCRBY', attempts, cursor, 1)
return lease(cursor)
