-- Whether what was pushed at one of two times is another job than what was pushed at the other: see ``kinds.is_other``.

-- To the microsecond; '' if it is no date.
local function moment(date)
    local second, rest = string.match(date or '', '^([%d-]+T[%d:]+)(.*)Z$')
    local digits = rest == '' and '' or string.match(rest or '', '^%.(%d+)$')
    return digits and second .. string.sub(digits .. '000000', 1, 6) or ''
end

local function is_other(made, seen)
    local one, other = moment(made), moment(seen or '')
    return one ~= '' and other ~= '' and one ~= other
end
