-- Moves what was written of a group, which stands alone while the group is in flight, into the counts of how rollouts
-- ended (see broker/group_ends.py). A group that was moved before, or never written, changes nothing.
local function fold(written, fates, ordinal, name)
  local outline = redis.call('HGET', written, ordinal)
  if not outline then return end
  redis.call('HDEL', written, ordinal)
  local drawn_as, rollouts = outline:match('^(%S+ %S+) (.+)$')
  if not rollouts then return end

  local fields, counts, told = {}, {}, drawn_as .. ' ' .. name .. ' '
  for rollout in rollouts:gmatch('%S+') do
    local field = told .. rollout
    if not counts[field] then fields[#fields + 1] = field end
    counts[field] = (counts[field] or 0) + 1
  end
  local changed = {}
  for i, before in ipairs(redis.call('HMGET', fates, unpack(fields))) do
    changed[2 * i - 1], changed[2 * i] = fields[i], counts[fields[i]] + (before or 0)
  end
  redis.call('HSET', fates, unpack(changed))
end
