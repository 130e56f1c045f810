-- Moves the summary of a group's rollouts from `written` into the counts of rollouts by outcome (see
-- broker/group_outcomes.py). Does nothing for a group that was moved before or never published.
local function count_rollouts(written, fates, ordinal, name)
  local summary = redis.call('HGET', written, ordinal)
  if not summary then return end
  redis.call('HDEL', written, ordinal)
  local bucket_and_arm, rollouts = summary:match('^(%S+ %S+) (.+)$')
  if not rollouts then return end

  local fields, counts, prefix = {}, {}, bucket_and_arm .. ' ' .. name .. ' '
  for rollout in rollouts:gmatch('%S+') do
    local field = prefix .. rollout
    if not counts[field] then fields[#fields + 1] = field end
    counts[field] = (counts[field] or 0) + 1
  end
  local changed = {}
  for i, before in ipairs(redis.call('HMGET', fates, unpack(fields))) do
    changed[2 * i - 1], changed[2 * i] = fields[i], counts[fields[i]] + (before or 0)
  end
  redis.call('HSET', fates, unpack(changed))
end
