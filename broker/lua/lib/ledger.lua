-- Adds the result of a group to the ledger row of its problem and arm, which keeps the newest `kept` outcomes.
-- KEYS  the last four: attempts, successes, first_solve, outcomes of the ledger
local attempts, successes, first_solve, outcomes = unpack(KEYS, #KEYS - 3)

local function update_ledger(ordinal, problem, arm, num_judged, num_successes, step, kept)
  local row = problem .. '|' .. arm
  redis.call('HINCRBY', attempts, row, num_judged)
  redis.call('HINCRBY', successes, row, num_successes)
  if num_successes > 0 then redis.call('HSETNX', first_solve, row, step) end
  if num_judged > 0 then
    local newest = step .. ':' .. num_successes .. '/' .. num_judged .. '@' .. ordinal
    local before = redis.call('HGET', outcomes, row)
    local joined = before and before .. ' ' .. newest or newest
    local _, spaces = joined:gsub(' ', '')
    for _ = kept, spaces do joined = joined:match(' (.*)$') end
    redis.call('HSET', outcomes, row, joined)
  end
end
