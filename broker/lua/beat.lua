#!lua flags=allow-oom
-- Records a heartbeat of a role with the server's time.
-- ARGV  role, status
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], ARGV[1], string.format('%d', now_ms) .. ' ' .. ARGV[2])
return now_ms
