#!lua flags=allow-oom
-- Counts the batch of step s as trained, once.
-- ARGV  step, life of the learner
-- Returns 1, or 0 when the step was committed before.
local learner, batches, counters, ended = unpack(KEYS)
local step = tonumber(ARGV[1])
if not step then return redis.error_reply('POPE commit: the step is not a number') end
local admitted = redis.call('HGET', learner, 'admitted')
if admitted and admitted ~= ARGV[2] then
  return redis.error_reply('POPE fenced: commit by ' .. ARGV[2] .. ', but the learner is ' .. admitted .. ' by now')
end

local committed = tonumber(redis.call('HGET', learner, 'committed') or 0)
if step <= committed then return 0 end
local entry = redis.call('XRANGE', batches, step .. '-0', step .. '-0')[1]
if step ~= committed + 1 or not entry then
  return redis.error_reply(
    'POPE behind: commit: step ' .. step .. ' was not taken next, the newest committed is ' .. committed)
end

redis.call('HINCRBY', counters, 'trained', entry[2][4])
redis.call('HINCRBY', counters, 'trained_samples', entry[2][6])
for ordinal in entry[2][2]:gmatch('%d+') do redis.call('HSET', ended, ordinal, 'trained') end
redis.call('HSET', learner, 'committed', step)
return 1
