#!lua flags=allow-oom
-- Appends to a stream of bounded length, even while the server is full: its oldest entries give way.
-- ARGV  length to keep, field, value, ...
-- Returns the entry id.
return redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', unpack(ARGV, 2))
