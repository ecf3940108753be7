-- Look for results in a memo, as far as a reply may be long.
--
-- KEYS  1 what a generation of the memo holds
-- ARGV  1 bytes after which no more is looked for   2.. keys
-- Returns {the server's Unix time, what stands under each key ('': nothing), in order}; there are fewer than keys if they
-- are too large together, and one at least.

local reply, size = {redis.call('TIME')[1]}, 0
for i = 2, #ARGV do
    reply[i] = redis.call('HGET', KEYS[1], ARGV[i]) or ''
    size = size + #reply[i]
    if size >= tonumber(ARGV[1]) then
        break
    end
end
return reply
