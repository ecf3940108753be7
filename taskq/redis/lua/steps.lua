-- Writes a long run of arguments: what commit.lua and write_memo.lua have in common, and are made with.

-- Lua's stack holds fewer values than there may be.
local function write(command, key, first, last)
    for i = first, last, 4000 do
        redis.call(command, key, unpack(ARGV, i, math.min(i + 3999, last)))
    end
end
