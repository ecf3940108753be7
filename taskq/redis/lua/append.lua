-- Add a piece to the function of a map that is being written.
--
-- KEYS  1 taskq:{id}   2 :function
-- ARGV  1 the incarnation   2 bytes written before this piece   3 the piece
-- Returns 1; 0 if the map is no longer this producer's (it has expired, or was replaced); -1 if some of what was
-- written before is gone, since the server came back as it was some moments before.

if redis.call('HGET', KEYS[1], 'incarnation') ~= ARGV[1] then
    return 0
end
local there, before = redis.call('STRLEN', KEYS[2]), tonumber(ARGV[2])
if there == before then
    redis.call('APPEND', KEYS[2], ARGV[3])
elseif there ~= before + #ARGV[3] then -- else it was written, and only the reply was lost
    return -1
end
return 1
