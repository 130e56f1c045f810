#!lua flags=allow-oom
-- Takes a group that carries no gradient off the rollout stream, counts why, and writes what it taught into the ledger.
-- ARGV  consumer group, entry id, ordinal, reason, arm, problem_id, judged rollouts, successes, step,
--       outcomes kept in the ledger
-- Returns 1, or 0 when the entry or its group had ended before.
local rollouts, counters, ended, payload, attempts, successes, first_solve, outcomes = unpack(KEYS)
local group, entry_id, ordinal, reason, arm, problem = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local num_judged, num_successes, step = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local kept = tonumber(ARGV[10])
if not (num_judged and num_successes and step and kept) then
  return redis.error_reply('POPE drop: an argument is not a number')
end

if redis.call('XACK', rollouts, group, entry_id) ~= 1 then return 0 end
redis.call('XDEL', rollouts, entry_id)
if redis.call('HEXISTS', payload, ordinal) == 1 or redis.call('HEXISTS', ended, ordinal) == 1 then
  redis.call('HINCRBY', counters, 'duplicates', 1)
  return 0
end
redis.call('HINCRBY', counters, 'filtered.' .. reason, 1)
redis.call('HSET', ended, ordinal, 'filtered.' .. reason)

local row = problem .. '|' .. arm
redis.call('HINCRBY', attempts, row, num_judged)
redis.call('HINCRBY', successes, row, num_successes)
if num_successes > 0 then redis.call('HSETNX', first_solve, row, step) end
if num_judged > 0 then
  local newest = step .. ':' .. num_successes .. '/' .. num_judged
  local before = redis.call('HGET', outcomes, row)
  local joined = before and before .. ' ' .. newest or newest
  local _, spaces = joined:gsub(' ', '')
  for _ = kept, spaces do joined = joined:match(' (.*)$') end
  redis.call('HSET', outcomes, row, joined)
end
return 1
