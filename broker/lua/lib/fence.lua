-- Returns an error when another incarnation of the learner is admitted, else nothing.
local function fenced(learner, incarnation, operation)
  local admitted = redis.call('HGET', learner, 'admitted')
  if admitted and admitted ~= incarnation then
    return redis.error_reply(
      'POPE fenced: ' .. operation .. ' by ' .. incarnation .. ', but the admitted learner is ' .. admitted)
  end
end
