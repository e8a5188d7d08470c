DROP INDEX work_step;
ALTER TABLE work DROP COLUMN started_at, DROP COLUMN outcome;
