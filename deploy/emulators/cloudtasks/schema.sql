-- The queues, their tasks and the names that stay blocked. Applied at every start; every statement may be repeated.
CREATE SCHEMA IF NOT EXISTS cloudtasks;

CREATE TABLE IF NOT EXISTS cloudtasks.queue (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    settings bytea NOT NULL -- a google.cloud.tasks.v2.Queue
);

-- One row per running emulator; it also holds the advisory lock (14350, id) as long as its session lives.
CREATE TABLE IF NOT EXISTS cloudtasks.runner (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    started timestamptz NOT NULL DEFAULT now()
);

-- A task until it is over, and then its name for as long as that stays blocked.
CREATE TABLE IF NOT EXISTS cloudtasks.task (
    queue_id integer NOT NULL,
    id text COLLATE "C" NOT NULL,
    due timestamptz NOT NULL,
    created timestamptz NOT NULL,
    message bytea NOT NULL, -- a google.cloud.tasks.v2.Task as it was asked for; empty once it is over
    runner_id integer, -- the runner that holds it, which alone may deliver it
    over timestamptz,
    dispatches integer NOT NULL DEFAULT 0,
    responses integer NOT NULL DEFAULT 0,
    executions integer NOT NULL DEFAULT 0,
    first_dispatch timestamptz,
    last_due timestamptz,
    last_dispatch timestamptz,
    last_response timestamptz,
    last_code integer,
    PRIMARY KEY (queue_id, id)
)
-- Every task leaves one dead row version; the default would let a fifth of a large table of blocked names gather.
WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);

-- Only what waits: a task that is delivered as soon as it is created never enters this index.
CREATE INDEX IF NOT EXISTS task_waiting ON cloudtasks.task (queue_id, due) WHERE over IS NULL AND runner_id IS NULL;
