#!lua flags=no-writes
-- Returns the id of a stream's oldest entry; nothing when the stream is empty.
local entry = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
return entry and entry[1]
