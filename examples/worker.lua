-- Shows a job queue: LISTEN wakes the workers, FOR UPDATE SKIP LOCKED gives each job to one of them.
--
--   DATABASE_URL=postgres://user@host:5432/database lua5.4 examples/worker.lua [--once]
--   psql -c "insert into jobs (kind, payload) values ('print', 'hello')"
--
-- As many side by side as one likes; Ctrl-C ends one, and its job is another's. With --once it ends
-- when nothing is due. DATABASE_REPLICA_URL names those that may become the primary in a failover.
local moongate = require "moongate"

local LOOK_EACH <const> = 5 -- s until it looks unasked: for jobs whose time has come
local SCHEMA <const> = [[
  select pg_advisory_xact_lock(hashtext('jobs')); -- one worker at a time makes it
  create table if not exists jobs (
    id bigint generated always as identity primary key,
    kind text not null, payload text not null default '',
    attempts int not null default 0, max_attempts int not null default 5,
    retry_after interval not null default '10 seconds',
    run_at timestamptz not null default now(), done_at timestamptz, error text);
  create index if not exists jobs_due on jobs (run_at) where done_at is null;
  create or replace function jobs_notify() returns trigger language plpgsql as
    $$ begin notify jobs; return null; end $$;
  create or replace trigger jobs_notify after insert on jobs execute function jobs_notify()]]
local TAKE <const> = [[
  select id, kind, payload, attempts, max_attempts from jobs
  where done_at is null and attempts < max_attempts and run_at <= now()
  order by run_at, id limit 1 for update skip locked]]
-- A worker that is killed lets go of its job within a second, even in the middle of a statement.
local BEGIN <const> = "set local client_connection_check_interval = '1s'; savepoint attempt"
local DONE <const> = "update jobs set done_at = now(), error = null where id = $1"
local FAILED <const> = [[
  update jobs set attempts = attempts + 1, error = $2, run_at = now() + retry_after where id = $1]]

-- What is written with `tx` is written once: it is committed together with the job's being done.
local handlers = {
  print = function(_, job) print(job.payload) end,
  sql = function(tx, job) tx:assert_query(job.payload) end,
}

local function interrupted(why) return tostring(why):find("interrupted!", 1, true) end

local function attempt(tx, job)
  local handler = handlers[job.kind] or error("there is no handler for jobs of kind " .. job.kind, 0)
  handler(tx, job)
end

-- True: it had a job; false: none is due; nil, message: the database is not there, or went away.
local function work(cluster)
  return cluster:transaction(function(tx)
    local job = tx:assert_query(TAKE)[1]
    if not job then return false end
    tx:assert_query(BEGIN)
    local done, why = pcall(attempt, tx, job)
    if done then
      tx:assert_query(DONE, job.id)
    elseif interrupted(why) then
      error(why, 0)
    else
      tx:assert_query "rollback to savepoint attempt"
      tx:assert_query(FAILED, job.id, tostring(why))
      print(("job %d failed, attempt %d of %d: %s"):format(job.id, job.attempts + 1, job.max_attempts, tostring(why)))
    end
    return true
  end)
end

local function main(once)
  local cluster <close> = moongate.cluster(moongate.from_env())
  assert(cluster:transaction(function(tx) return tx:query(SCHEMA) end))
  local listener <close> = assert(cluster:listen "jobs")
  local trouble = moongate.backoff { initial = 0.1, max = 5 }
  while true do
    local found, message = work(cluster)
    if found == nil then
      if interrupted(message) then error(message, 0) end
      print("trouble: " .. message)
      moongate.sleep(trouble:fail())
    else
      trouble:succeed()
      if not found and once then return end
      -- A notification, a gap in them, a failure or the end of the time: there may be jobs.
      if not found then listener:wait(LOOK_EACH) end
    end
  end
end

io.stdout:setvbuf "line"
local ended, why = pcall(main, arg[1] == "--once")
if not ended and not interrupted(why) then error(why, 0) end
