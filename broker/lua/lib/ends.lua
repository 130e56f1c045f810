-- How groups ended: a byte for each ordinal, which is 0 or past the end of the string until then. There are few names
-- of ends; each gets the next code when it is first used. Only ordinals that were issued may be noted: the string grows
-- up to the largest.
-- KEYS  the first four: ended, ended codes, written, fates
local ended, ended_codes, written, fates = unpack(KEYS)

local function has_ended(ordinal)
  local code = redis.call('GETRANGE', ended, ordinal, ordinal)
  return code ~= '' and code ~= '\0'
end

local function note_end(ordinal, name)
  local code = redis.call('HGET', ended_codes, name)
  if not code then
    code = redis.call('HLEN', ended_codes) + 1
    redis.call('HSET', ended_codes, name, code)
  end
  redis.call('SETRANGE', ended, ordinal, string.char(code))
  fold(written, fates, ordinal, name)
end
