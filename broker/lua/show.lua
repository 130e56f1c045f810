#!lua flags=allow-oom
-- Puts a word in front of a list of bounded length, once; said again it does not move.
-- ARGV  word, length to keep
-- Returns 1 when the word is new.
if redis.call('LPOS', KEYS[1], ARGV[1]) then return 0 end
redis.call('LPUSH', KEYS[1], ARGV[1])
redis.call('LTRIM', KEYS[1], 0, ARGV[2] - 1)
return 1
