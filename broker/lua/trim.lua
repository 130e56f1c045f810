#!lua flags=allow-oom
-- uses: fence
-- Removes the batches up to a step and their payloads; a durable checkpoint covers them.
-- ARGV  step, incarnation of the learner
-- Returns the number of batches removed.
local batches, payload, learner = unpack(KEYS)
local step = tonumber(ARGV[1])
if not step then return redis.error_reply('POPE trim: the step is not a number') end
local refusal = fenced(learner, ARGV[2], 'trim')
if refusal then return refusal end
local committed = tonumber(redis.call('HGET', learner, 'committed') or 0)
if step > committed then
  return redis.error_reply('POPE trim: step ' .. step .. ' is not committed, the newest committed is ' .. committed)
end

local entries = redis.call('XRANGE', batches, '-', step .. '-0')
for _, entry in ipairs(entries) do
  for ordinal in entry[2][2]:gmatch('%d+') do redis.call('HDEL', payload, ordinal) end
  redis.call('XDEL', batches, entry[1])
end
return #entries
