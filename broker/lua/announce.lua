#!lua flags=allow-oom
-- uses: fence
-- Announces a policy version if it is newer than the newest one. The entry id contains the version, so that a reader
-- can wait for anything newer than the version it holds.
-- ARGV  version, frame, number of announcements to keep, incarnation of the learner
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
