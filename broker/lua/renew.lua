#!lua flags=allow-oom
-- Extends the leases that an owner still holds.
-- ARGV  owner, lease_ms, ordinal ...
-- Returns the ordinals that are still held.
local leases, owners = unpack(KEYS)
local prefix, lease_ms = ARGV[1] .. '/', tonumber(ARGV[2])
if not lease_ms then return redis.error_reply('POPE renew: lease_ms is not a number') end

local time = redis.call('TIME')
local deadline = time[1] * 1000 + math.floor(time[2] / 1000) + lease_ms
local held = {}
for i = 3, #ARGV do
  local token = redis.call('HGET', owners, ARGV[i])
  if token and token:sub(1, #prefix) == prefix then
    redis.call('ZADD', leases, deadline, ARGV[i])
    held[#held + 1] = tonumber(ARGV[i])
  end
end
return held
