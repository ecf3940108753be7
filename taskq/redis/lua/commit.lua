-- Store everything that came out of one range, once (invariant I1).
--
-- The claim is the guard: it is deleted here, and without exactly this claim of this incarnation nothing is stored. So
-- a second commit of the same run, a commit by a worker that was given up for dead, one after the map was closed or
-- replaced, or after the server came back as it was before the claim, changes nothing. What the range does not hold
-- is refused. Of a range that runs twice each of its two claims is such a guard, and both are deleted: copies.lua.
--
-- KEYS  1 taskq:{id}  2 :bodies  3 :claims  4 :results  5 :spans  6 :errors  7 taskq:timeline  8 :pending
--       9 :failed  10 :uses  11 :groups  12 :again  13 :later  14 :copies  15 :since  16 :took
--       of a map with a memo: 17 :memo  18 the memo  19 what its generation holds, of which the map was told
-- ARGV  1 the incarnation   2 range   3 the claim as it is held, "token deaths body worker"
--       4 how many items its body has, if no range was taken from it before
--       5 how many of the items that were to be done do not need that body any more
--       6 number of spans   7 number of error records   8 number of kinds of errors
--       9 number of parts that did not run   10 number of parts that failed   11 deaths to note for the former
--       12 maximal length of the timeline   13 channel of the map's events
--       14 template of a worker's channel, with %s   15 most kinds of errors that are counted apart
--       16 "1": the map keeps no results, and its spans are merged; with a secret key what they add to the sum of what
--       has run (payload/tally.py), 32 hexadecimal digits; "0": it keeps them
--       17 how many results are enough, and none is stored beyond these; 0: all
--       18 seconds for which it ran   19 number of timeline values, then: field, value, ...
--       then: spans; item index, record for each error; kind, count, first index for each kind of error; range, body
--       for each part that did not run, and for each that failed ('': they still need the old body); results. A part that
--       is to be tried again later is among those that did not run, and has in place of its range "range deaths seconds"
-- Returns {1, done, failed, total, pending}, and then, if other maps' items are its results, which ones; {0} if the
-- claim is not held, or enough is there; {-1} if something is not in the range; {-2, how many results are wanted still} if
-- these are more. But in the first case nothing was changed.
-- The total is 0 if enough is there now.

--include copies

local range, claim = ARGV[2], ARGV[3]
local map = redis.call('HMGET', KEYS[1], 'incarnation', 'total', 'owner', 'state', 'first', 'enough', 'done', 'speculate',
    'followers')
if map[1] ~= ARGV[1] or not is_held(KEYS[3], KEYS[14], range, claim) then
    return {0}
end
if map[4] ~= 'open' or map[6] then
    return {0} -- the claim stays, until the map is opened again
end

local spans, errors, kinds = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local rest, failed = tonumber(ARGV[9]), tonumber(ARGV[10])
local discards = ARGV[16] ~= '0'
local enough = tonumber(ARGV[17])
local timeline = 20
local first_span = timeline + tonumber(ARGV[19])
local first_error = first_span + spans
local first_kind = first_error + 2 * errors
local first_rest = first_kind + 3 * kinds
local first_failed = first_rest + 2 * rest
local first_result = first_failed + 2 * failed
local results, counted = #ARGV - first_result + 1, 0 -- of those that are there, and of those that are not

-- What does not lie in the range, comes twice, or is not counted right, is nobody's outcome.
local start, count = string.match(range, '^(%d+):(%d+)$')
start = tonumber(start)
local stop, at, told = start + tonumber(count), start, 0
for i = first_span, first_error - 1 do
    local from, length = string.match(ARGV[i], '^(%d+):(%d+)$')
    from, length = tonumber(from), tonumber(length)
    if not from or from < at or from + length > stop then
        return {-1}
    end
    at, told = from + length, told + length
end
at = start - 1
for i = first_error, first_kind - 1, 2 do
    local index = tonumber(ARGV[i])
    if not index or index <= at or index >= stop then
        return {-1}
    end
    at = index
end
if discards then
    counted = told
    told = 0
end
if told ~= results then
    return {-1}
end
if enough > 0 and tonumber(map[7]) + results + counted > enough then
    return {-2, enough - map[7]}
end

--include steps

-- Runs of items that touch become one, so that as much stands there as there are gaps, however many items there are.
local function merge(from, to)
    local before, behind = redis.call('HGET', KEYS[5], 'to ' .. from), redis.call('HGET', KEYS[5], 'from ' .. to)
    local first, last = before or from, behind or to
    redis.call('HSET', KEYS[5], 'from ' .. first, last, 'to ' .. last, first)
    if before then
        redis.call('HDEL', KEYS[5], 'to ' .. from)
    end
    if behind then
        redis.call('HDEL', KEYS[5], 'from ' .. to)
    end
end

-- What has run is summed up, word by word; a sum that somebody has made something else of proves nothing any more.
local function summed_up(sum, more)
    local words = {}
    for i = 1, 32, 8 do
        local word = tonumber(string.sub(sum, i, i + 7), 16) or 0
        words[#words + 1] = string.format('%08x', (word + tonumber(string.sub(more, i, i + 7), 16)) % 4294967296)
    end
    return table.concat(words)
end

-- First what needs memory: without any the very first command fails, and nothing has changed.
local added = redis.pcall('XADD', KEYS[7], 'MAXLEN', '~', ARGV[12], '*', unpack(ARGV, timeline, first_span - 1))
if type(added) == 'table' and added.err and not string.find(added.err, 'exhausted', 1, true) then
    redis.call('XADD', KEYS[7], '*', unpack(ARGV, timeline, first_span - 1)) -- fails as before; see finish.lua
end
if discards then
    for i = first_span, first_error - 1 do
        local from, length = string.match(ARGV[i], '^(%d+):(%d+)$')
        if length ~= '0' then
            merge(from, string.format('%.0f', from + length))
        end
    end
    if #ARGV[16] > 1 then
        local ran = redis.call('HGET', KEYS[1], 'ran') or ''
        redis.call('HSET', KEYS[1], 'ran', summed_up(ran, ARGV[16]))
    end
else
    write('RPUSH', KEYS[5], first_span, first_error - 1)
end
write('HSET', KEYS[6], first_error, first_kind - 1)
for i = first_kind, first_rest - 1, 3 do
    local kind = ARGV[i]
    local known = redis.call('HGET', KEYS[11], kind)
    if not known and redis.call('HLEN', KEYS[11]) >= tonumber(ARGV[15]) then
        kind = ''
        known = redis.call('HGET', KEYS[11], kind)
    end
    local number, sample = string.match(known or '', '^(%d+) (%d+)$')
    number = (tonumber(number) or 0) + ARGV[i + 1]
    sample = math.min(tonumber(sample) or ARGV[i + 2], ARGV[i + 2])
    redis.call('HSET', KEYS[11], kind, string.format('%d %d', number, sample))
end
if errors > 0 and (not map[5] or tonumber(ARGV[first_error]) < tonumber(map[5])) then
    redis.call('HSET', KEYS[1], 'first', ARGV[first_error])
end

local function channel_of(worker)
    return (string.gsub(ARGV[14], '%%s', (string.gsub(worker, '%%', '%%%%'))))
end

local body = string.match(claim, '^%S+ %S+ (%S+) ')
local function store(name, payload, deaths)
    if payload ~= '' then
        redis.call('HSET', KEYS[2], name, payload)
        return name .. ' ' .. deaths
    end
    return table.concat({name, deaths, body}, ' ')
end
local kept = {} -- bodies that have just been written
for i = first_failed - 2, first_rest, -2 do -- the last one first, for each goes to the front
    local name, deaths, seconds = string.match(ARGV[i], '^(%S+) (%d+) (%S+)$')
    if name then
        local time = redis.call('TIME')
        local due = string.format('%.6f', time[1] + time[2] / 1e6 + seconds)
        redis.call('ZADD', KEYS[13], due, store(name, ARGV[i + 1], deaths))
    else
        name = ARGV[i]
        redis.call('LPUSH', KEYS[8], store(name, ARGV[i + 1], ARGV[11]))
    end
    kept[name] = ARGV[i + 1] ~= ''
end
for i = first_failed, first_result - 2, 2 do
    redis.call('RPUSH', KEYS[9], store(ARGV[i], ARGV[i + 1], '0'))
    kept[ARGV[i]] = ARGV[i + 1] ~= ''
end
write('RPUSH', KEYS[4], first_result, #ARGV)

-- The memo gets the results in the same step, unless it was told meanwhile to forget what is of that generation. Other
-- maps have it, too: whatever somebody has put in its place, this commit must not end half way.
local function is_hash(key)
    local kind = redis.call('TYPE', key)
    kind = kind.ok or kind
    return kind == 'hash' or kind == 'none'
end
local memo = {}
if KEYS[17] and is_hash(KEYS[17]) and is_hash(KEYS[18]) and is_hash(KEYS[19]) then
    memo = redis.call('HMGET', KEYS[18], 'entries', 'ttl')
end
if memo[1] and memo[1] == KEYS[19] then
    local from = table.concat({redis.call('TIME')[1], string.match(KEYS[1], '{(.*)}$'), ARGV[1]}, ' ')
    local result = first_result
    for i = first_span, first_error - 1 do
        local first, length = string.match(ARGV[i], '^(%d+):(%d+)$')
        for index = first, first + length - 1 do
            local item = string.format('%d', index)
            local signature, key = string.match(redis.call('HGET', KEYS[17], item) or '', '^(%S+) (.*)$')
            if key then
                local origin = table.concat({from, item, signature}, ' ')
                redis.call('HSET', KEYS[19], key, origin .. '\n' .. ARGV[result])
                redis.call('HDEL', KEYS[17], item)
            end
            result = result + 1
        end
    end
    local ttl = tonumber(memo[2]) or -1
    if ttl >= 0 and ttl < 1e10 then
        redis.call('EXPIRE', KEYS[18], math.ceil(ttl) + 604800) -- a week beyond what counts: see memo.py
        redis.call('EXPIRE', KEYS[19], math.ceil(ttl) + 604800)
    end
end

local uses = redis.call('HGET', KEYS[10], body)
local left = tonumber(uses or ARGV[4]) - ARGV[5]
if left <= 0 or kept[body] then
    if not kept[body] then -- a part of the same range has just taken its place
        redis.call('HDEL', KEYS[2], body)
    end
    if uses then
        redis.call('HDEL', KEYS[10], body)
    end
else
    redis.call('HSET', KEYS[10], body, left)
end
if map[8] then
    -- Who else runs it need not go on; that the message is heard nothing hangs on.
    local other = other_of(KEYS[3], KEYS[14], range, claim)
    local token, worker = string.match(other or '', '^([%w-]+) %S+ %S+ (.+)$')
    if token then
        local note = '{"command": "taskq-beaten", "map": "%s", "token": "%s"}'
        redis.call('PUBLISH', channel_of(worker), string.format(note, string.match(KEYS[1], '{(.*)}$'), token))
    end
    if told + counted + errors > 0 then
        redis.call('LPUSH', KEYS[16], ARGV[18] .. ' ' .. string.match(claim, '^%S+ %S+ %S+ (.+)$'))
        redis.call('LTRIM', KEYS[16], 0, 100)
    end
    redis.call('HDEL', KEYS[14], range)
    redis.call('ZREM', KEYS[15], range)
end
redis.call('HDEL', KEYS[3], range)

local done = redis.call('HINCRBY', KEYS[1], 'done', results + counted)
local lost = redis.call('HINCRBY', KEYS[1], 'failed', errors)
redis.call('PUBLISH', ARGV[13], 'progress')
local total = tonumber(map[2])
if enough > 0 and done >= enough then
    redis.call('HSET', KEYS[1], 'enough', '1')
    total = 0
end
if done + lost >= total and map[3] and map[3] ~= string.match(claim, '^%S+ %S+ %S+ (.+)$') then
    -- Whoever commits the last chunk tells the owner, which finishes the RQ job, and knows of its own.
    local note = '{"command": "taskq-complete", "map": "%s"}'
    redis.call('PUBLISH', channel_of(map[3]), string.format(note, string.match(KEYS[1], '{(.*)}$')))
end
return {1, done, lost, total, redis.call('LLEN', KEYS[8]) + redis.call('LLEN', KEYS[12]), map[9] or nil}
