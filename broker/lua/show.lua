#!lua flags=allow-oom
-- Inserts a value at the head of a list of bounded length, unless the list contains it.
-- ARGV  value, length to keep
-- Returns 1 when the value is new.
if redis.call('LPOS', KEYS[1], ARGV[1]) then return 0 end
redis.call('LPUSH', KEYS[1], ARGV[1])
redis.call('LTRIM', KEYS[1], 0, ARGV[2] - 1)
return 1
