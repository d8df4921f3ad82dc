"""What Redis does in one step, as scripts, and the keys under which a server's state lies.

    meet-trio:{NAME}:lease     hash: owner, fence, beat, watched, ttl (ms), data, sequence
    meet-trio:{NAME}:standby   a candidate that waits
    meet-trio:{NAME}:data:…    hash: the records; the lease names the one that counts
    meet-trio:{NAME}:fast      hash: a snapshot of each engine, and of what it is one

NAME is ``server_name`` of both machines. The braces keep the keys in one slot of a cluster.

Each script that writes refuses who does not hold the lease. Commands may arrive late, after later
ones on another connection. So beats and writes have numbers that count up, and an older one does
nothing. All keys expire ``FORGOTTEN_AFTER`` after the holder's last sign.

Snapshots count only in the process of Redis that has written them (``run_id``): one that was
restarted may have loaded older ones.
"""

from typing import Final

FORGOTTEN_AFTER: Final = 3_600_000
"""Milliseconds."""

_RUN: Final = "local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')\n"

LOOK: Final = """
if ARGV[1] ~= '' then redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2]) end
return redis.call('HMGET', KEYS[1], 'owner', 'fence', 'beat', 'watched', 'ttl')
"""
"""lease, standby; who leaves a sign or nothing, for how long (ms)."""

TAKE: Final = """
local l = redis.call('HMGET', KEYS[1], 'owner', 'fence', 'beat', 'data')
local any = ARGV[4] == '*'
if (l[1] or '') ~= ARGV[2] then return false end
if not any and ((l[2] or '0') ~= ARGV[3] or (l[3] or '0') ~= ARGV[4]) then return false end
local fence = math.max(tonumber(l[2] or '0'), tonumber(ARGV[3])) + 1
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'fence', fence, 'beat', 0, 'watched', 0,
  'sequence', 0, 'ttl', ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[6])
if ARGV[7] == '1' then redis.call('DEL', KEYS[2]) end
if redis.call('GET', KEYS[3]) == ARGV[1] then redis.call('DEL', KEYS[3]) end
return {fence, l[4] or ''}
"""
"""lease, fast, standby; new owner, owner before, fence, beat or * for any, ttl (ms), life (ms),
whether to delete the snapshots. False: it is not as expected."""

BEAT: Final = """
local l = redis.call('HMGET', KEYS[1], 'owner', 'fence', 'beat', 'data')
if l[1] ~= ARGV[1] or l[2] ~= ARGV[2] then return {0, l[1] or '', l[2] or '0'} end
if tonumber(l[3]) >= tonumber(ARGV[3]) then return {2, ''} end
redis.call('HSET', KEYS[1], 'beat', ARGV[3], 'watched', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
if l[4] then redis.call('PEXPIRE', l[4], ARGV[5]) end
if ARGV[4] == '0' then redis.call('DEL', KEYS[3]) end
return {1, tostring(redis.call('EXISTS', KEYS[2])), l[3], l[4] or ''}
"""
"""lease, standby, fast; owner, fence, number, watched, life (ms). {0, owner, fence}: another one
holds it, or none. {2}: an older beat. {1, whether a standby waits, the beat before, data}."""

WRITE: Final = """
local l = redis.call('HMGET', KEYS[1], 'owner', 'fence', 'sequence', 'data')
if l[1] ~= ARGV[1] or l[2] ~= ARGV[2] then return 0 end
if tonumber(l[3]) >= tonumber(ARGV[3]) then return 2 end
redis.call('HSET', KEYS[1], 'sequence', ARGV[3])
local at = 7
for i = 1, tonumber(ARGV[6]) do
  redis.call('HDEL', KEYS[2], ARGV[at])
  at = at + 1
end
while at < #ARGV do
  redis.call('HSET', KEYS[2], ARGV[at], ARGV[at + 1])
  at = at + 2
end
redis.call('PEXPIRE', KEYS[2], ARGV[5])
if ARGV[4] == '1' then
  redis.call('HSET', KEYS[1], 'data', KEYS[2])
  if l[4] and l[4] ~= KEYS[2] then redis.call('DEL', l[4]) end
end
return 1
"""
"""lease, data; owner, fence, sequence, whether this data counts from now on, life (ms), number of
fields to delete, these, and then fields and values in turn."""

SNAPSHOT: Final = (
    _RUN
    + """
local l = redis.call('HMGET', KEYS[1], 'owner', 'fence', 'sequence', 'watched')
if l[1] ~= ARGV[1] or l[2] ~= ARGV[2] then return 0 end
if tonumber(l[3]) >= tonumber(ARGV[3]) or l[4] ~= ARGV[4] then return 2 end
redis.call('HSET', KEYS[1], 'sequence', ARGV[3])
local now = redis.call('TIME')
redis.call('HSET', KEYS[2], 'run', run, 'at', now[1] * 1000 + math.floor(now[2] / 1000))
for i = 6, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
redis.call('PEXPIRE', KEYS[2], ARGV[5])
return 1
"""
)
"""lease, fast; owner, fence, sequence, watched, life (ms), and then engines and snapshots in
turn."""

READ: Final = (
    _RUN
    + """
local l = redis.call('HMGET', KEYS[1], 'owner', 'fence')
if l[1] ~= ARGV[1] then return false end
local fast = {}
if redis.call('HGET', KEYS[3], 'run') == run then fast = redis.call('HGETALL', KEYS[3]) end
redis.call('DEL', KEYS[3])
local now = redis.call('TIME')
return {redis.call('HGETALL', KEYS[2]), fast, now[1] * 1000 + math.floor(now[2] / 1000)}
"""
)
"""lease, data, fast; owner. False: another one holds it. The snapshots are given once."""

GIVE_UP: Final = """
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
local data = redis.call('HGET', KEYS[1], 'data')
if data then redis.call('DEL', data) end
redis.call('DEL', KEYS[2])
redis.call('HDEL', KEYS[1], 'data')
redis.call('HSET', KEYS[1], 'owner', '-', 'watched', 0)
return 1
"""
"""lease, fast; owner."""


def key(server: str, part: str) -> str:
    return f"meet-trio:{{{server}}}:{part}"
