-- Reads what is only a count: what busy.lua and fleet.lua have in common, and are made with.

local function read(command, ...)
    local reply = redis.pcall(command, ...)
    return reply.err and {} or reply -- somebody has changed the key; those who write it make it anew
end
