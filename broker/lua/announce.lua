#!lua flags=allow-oom
-- uses: fence
-- Puts a weight version on the board, if it is newer. The entry id carries the version, so that a reader can
-- wait for anything newer than what it holds.
-- ARGV  version, frame, how many announcements to keep, life of the learner
-- Returns 1, or 0 when the board holds this version or a newer one.
local weights, board, learner = unpack(KEYS)
local version, frame, keep = tonumber(ARGV[1]), ARGV[2], ARGV[3]
if not version then return redis.error_reply('POPE announce: the version is not a number') end
local refusal = fenced(learner, ARGV[4], 'announce')
if refusal then return refusal end
local newest = tonumber(redis.call('HGET', board, 'version') or -1)
if version <= newest then return 0 end
redis.call('XADD', weights, 'MAXLEN', keep, version .. '-1', 'announcement', frame)
redis.call('HSET', board, 'version', version)
return 1
