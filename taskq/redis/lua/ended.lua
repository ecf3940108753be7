-- Whether a map has ended for good: what feed.lua and pass_on.lua have in common, and are made with.

local final = {finished = true, failed = true, stopped = true, canceled = true}

-- state: of the map. job: key of its RQ job, which says whether a retry of its own is to come; deleted, none is.
local function ended(state, job)
    local status = redis.call('HGET', job, 'status')
    return not status or state == 'closed' and final[status] ~= nil
end
