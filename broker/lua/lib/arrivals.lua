-- Whether a group that comes off the rollout stream is not to go on, counted under why: nobody was issued it, it was
-- here before, or the learner trained it and this server forgot.
local function is_over(ordinal, samples, counters, payload, forgotten)
  if tonumber(ordinal) >= tonumber(redis.call('HGET', counters, 'issued') or 0) then
    redis.call('HINCRBY', counters, 'unissued', 1)
  elseif redis.call('HEXISTS', payload, ordinal) == 1 or has_ended(ordinal) then
    redis.call('HINCRBY', counters, 'duplicates', 1)
  elseif redis.call('SREM', forgotten, ordinal) == 1 then
    redis.call('HINCRBY', counters, 'trained', 1)
    redis.call('HINCRBY', counters, 'trained_samples', samples)
    note_end(ordinal, 'trained')
  else
    return false
  end
  return true
end
