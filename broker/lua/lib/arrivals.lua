-- Whether a group from the rollout stream must not be processed, counted by reason: it was never issued (`unissued`), it
-- arrived before (`duplicates`), or it belongs to a step that the learner trained and this server lost (`trained`).
local function must_skip(ordinal, samples, counters, payload, forgotten)
  if tonumber(ordinal) >= tonumber(redis.call('HGET', counters, 'issued') or 0) then
    redis.call('HINCRBY', counters, 'unissued', 1)
  elseif redis.call('HEXISTS', payload, ordinal) == 1 or has_ended(ordinal) then
    redis.call('HINCRBY', counters, 'duplicates', 1)
  elseif redis.call('SREM', forgotten, ordinal) == 1 then
    redis.call('HINCRBY', counters, 'trained', 1)
    redis.call('HINCRBY', counters, 'trained_samples', samples)
    record_outcome(ordinal, 'trained')
  else
    return false
  end
  return true
end
