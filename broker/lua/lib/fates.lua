-- Moves what was written of a group, which stands alone while the group is in flight, into the counts of how rollouts
-- ended (see broker/fates.py). A group that was moved before, or never written, changes nothing.
local function fold(written, fates, ordinal, name)
  local outline = redis.call('HGET', written, ordinal)
  if not outline then return end
  redis.call('HDEL', written, ordinal)
  local drawn_as, rollouts = outline:match('^(%S+ %S+) (.+)$')
  local counts = {}
  for rollout in (rollouts or ''):gmatch('%S+') do counts[rollout] = (counts[rollout] or 0) + 1 end
  for rollout, count in pairs(counts) do
    redis.call('HINCRBY', fates, drawn_as .. ' ' .. name .. ' ' .. rollout, count)
  end
end
