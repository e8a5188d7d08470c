-- What became of a unit of work: when somebody first took it, and what it says of itself when it is done.

ALTER TABLE work ADD COLUMN started_at timestamptz, ADD COLUMN outcome text;
-- The runs of one schedule, the newest first.
CREATE INDEX work_step ON work (step, id DESC);
