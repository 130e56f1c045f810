-- The error for a life of the learner that another one has replaced; nothing for the one that is admitted.
local function fenced(learner, life, deed)
  local admitted = redis.call('HGET', learner, 'admitted')
  if admitted and admitted ~= life then
    return redis.error_reply(
      'POPE fenced: ' .. deed .. ' by ' .. life .. ', but the learner is ' .. admitted .. ' by now')
  end
end
