#!lua flags=allow-oom
-- Appends an entry to a stream of bounded length, removing the oldest; works even while the server is out of memory.
-- ARGV  length to keep, field, value, ...
-- Returns the entry id.
return redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', unpack(ARGV, 2))
