-- Outcomes of groups: one byte per ordinal; 0, or past the end of the string, until the group has ended. An outcome gets
-- the next free code when it is first used. Record only ordinals that were issued: the string grows up to the largest.
-- KEYS  the first four: ended, ended codes, written, fates
local ended, ended_codes, written, fates = unpack(KEYS)

local function has_ended(ordinal)
  local code = redis.call('GETRANGE', ended, ordinal, ordinal)
  return code ~= '' and code ~= '\0'
end

local function record_outcome(ordinal, name)
  local code = redis.call('HGET', ended_codes, name)
  if not code then
    code = redis.call('HLEN', ended_codes) + 1
    redis.call('HSET', ended_codes, name, code)
  end
  redis.call('SETRANGE', ended, ordinal, string.char(code))
  count_rollouts(written, fates, ordinal, name)
end
