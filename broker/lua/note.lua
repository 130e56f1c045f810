#!lua flags=allow-oom
-- Writes one short field of a hash, even while the server is out of memory.
-- ARGV  field, value, 'replace' or 'first' (keep an existing value)
-- Returns 1 when the value was written.
if ARGV[3] == 'first' then return redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2]) end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
