#!lua
-- Appends tasks to the list and raises the limit of the feed to its new length. A repeated call adds nothing.
-- ARGV  length of the list as last read by the caller, then the frames of the new tasks
-- Returns 1 (added, now or before) or 0 (the list has another length: another process appended to it).
local tasks, feed = unpack(KEYS)
local known, added = tonumber(ARGV[1]), #ARGV - 1
if not known then return redis.error_reply('POPE append_tasks: the number of tasks is not a number') end

local length = redis.call('LLEN', tasks)
if length == known + added then return 1 end
if length ~= known then return 0 end
for i = 2, #ARGV do redis.call('RPUSH', tasks, ARGV[i]) end
redis.call('HSET', feed, 'limit', known + added)
return 1
