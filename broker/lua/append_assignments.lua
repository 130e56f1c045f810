#!lua
-- Appends the assignments of the next ordinals to the list. An assignment is never changed.
-- ARGV  length of the list as last read by the caller, then the new entries
-- Returns 1 (added) or 0 (the list has another length: another process appended to it, or this call is a repetition).
local assignments = KEYS[1]
local known = tonumber(ARGV[1])
if not known then return redis.error_reply('POPE append_assignments: the number of assignments is not a number') end

if redis.call('LLEN', assignments) ~= known then return 0 end
for i = 2, #ARGV do redis.call('RPUSH', assignments, ARGV[i]) end
return 1
