#!lua flags=allow-oom
-- Transfers entries that another consumer read and did not acknowledge in time to this consumer.
-- ARGV  consumer group, consumer, min_idle_ms, count
-- Returns {entry id, fields, deliveries} for each.
local rollouts = KEYS[1]
local group, consumer, min_idle_ms, count = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local claimed = redis.call('XAUTOCLAIM', rollouts, group, consumer, min_idle_ms, '0-0', 'COUNT', count)
local deliveries = {}
for _, entry in ipairs(claimed[2]) do
  local pending = redis.call('XPENDING', rollouts, group, entry[1], entry[1], 1)
  deliveries[#deliveries + 1] = {entry[1], entry[2], pending[1][4]}
end
return deliveries
