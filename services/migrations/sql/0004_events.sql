CREATE TYPE event_level AS ENUM ('debug', 'info', 'warning', 'error', 'fatal');
COMMENT ON TYPE event_level IS 'How bad the matter is that an event tells of.';

CREATE TABLE issues (
    id uuid CONSTRAINT issues_pkey PRIMARY KEY,
    project_id uuid NOT NULL CONSTRAINT issues_project_id_fkey REFERENCES projects ON DELETE CASCADE,
    fingerprint bytea NOT NULL CONSTRAINT issues_fingerprint_check CHECK (length(fingerprint) = 17),
    title text NOT NULL,
    level event_level NOT NULL,
    event_count bigint NOT NULL,
    first_seen_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    CONSTRAINT issues_project_id_fingerprint_key UNIQUE (project_id, fingerprint),
    -- For the events, whose issue is one of their own project.
    CONSTRAINT issues_project_id_id_key UNIQUE (project_id, id)
-- Counts change all the time, and no index has them: with room in its page an update touches nothing else.
) WITH (fillfactor = 70);
COMMENT ON TABLE issues IS 'Events with the same fingerprint in a project.';
COMMENT ON COLUMN issues.fingerprint IS
    'The version of the rules that it was made by, a byte, and 16 bytes of a SHA-256 of what they look at.';
COMMENT ON COLUMN issues.title IS 'What the event was about that was received last.';
COMMENT ON COLUMN issues.level IS 'How bad the event was that was received last.';
COMMENT ON COLUMN issues.event_count IS 'How many events it ever had; those that were deleted for their age as well.';
COMMENT ON COLUMN issues.first_seen_at IS 'When its first event was received.';
COMMENT ON COLUMN issues.last_seen_at IS 'When its last event was received.';

CREATE TABLE events (
    project_id uuid NOT NULL,
    event_id uuid NOT NULL,
    issue_id uuid NOT NULL,
    fingerprint bytea NOT NULL,
    received_at timestamptz NOT NULL,
    occurred_at timestamptz NOT NULL,
    level event_level NOT NULL,
    message text,
    exception_type text,
    exception_value text,
    release text,
    environment text,
    sdk_name text,
    sdk_version text,
    tags jsonb NOT NULL,
    "user" jsonb,
    payload bytea NOT NULL,
    -- An issue is of a project, and with it so are its events.
    CONSTRAINT events_issue_fkey FOREIGN KEY (project_id, issue_id) REFERENCES issues (project_id, id)
        ON DELETE CASCADE
) PARTITION BY RANGE (received_at);
-- Already compressed: PostgreSQL need not try again.
ALTER TABLE events ALTER COLUMN payload SET STORAGE EXTERNAL;
CREATE INDEX events_project_id_received_at_idx ON events (project_id, received_at, event_id);
CREATE INDEX events_issue_id_received_at_idx ON events (issue_id, received_at, event_id);
COMMENT ON TABLE events IS
    'Error events, partitioned by the UTC day they were received on. What is filtered or listed by is a column.';
COMMENT ON COLUMN events.event_id IS
    'The sender''s id, or a UUIDv7 made at admission; unique for the project within a partition.';
COMMENT ON COLUMN events.fingerprint IS 'What told its issue at intake: as issues.fingerprint has it.';
COMMENT ON COLUMN events.received_at IS 'When the writer took the event in; fixed before it is acknowledged.';
COMMENT ON COLUMN events.occurred_at IS 'When it happened, as its sender says; received_at where it says nothing.';
COMMENT ON COLUMN events.payload IS 'The whole event as received: JSON, compressed with zstd.';

CREATE TABLE dead_letters (
    project_id uuid NOT NULL CONSTRAINT dead_letters_project_id_fkey REFERENCES projects ON DELETE CASCADE,
    event_id uuid NOT NULL,
    received_at timestamptz NOT NULL,
    sqlstate text NOT NULL,
    reason text NOT NULL,
    payload bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT dead_letters_pkey PRIMARY KEY (project_id, event_id, received_at)
);
COMMENT ON TABLE dead_letters IS 'Accepted events that PostgreSQL refused for their data.';
COMMENT ON COLUMN dead_letters.sqlstate IS 'PostgreSQL''s error code.';
COMMENT ON COLUMN dead_letters.reason IS 'PostgreSQL''s error message.';
COMMENT ON COLUMN dead_letters.payload IS 'The whole event as received: JSON, compressed with zstd.';

-- Runs as the owner of the schema, so that the writer needs no right to create tables.
CREATE FUNCTION ensure_event_partitions(first_day date, last_day date) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    day date;
    partition text;
    lower_bound timestamptz;
    upper_bound timestamptz;
    made integer := 0;
BEGIN
    IF last_day - first_day > 31 THEN
        RAISE EXCEPTION 'more than 31 days of partitions at once: % to %', first_day, last_day;
    END IF;
    FOR day IN SELECT generate_series(first_day, last_day, interval '1 day')::date LOOP
        partition := 'events_' || to_char(day, 'YYYYMMDD');
        CONTINUE WHEN to_regclass(partition) IS NOT NULL;
        -- Every replica may try at once, and IF NOT EXISTS alone does not stand two at the same moment.
        PERFORM pg_advisory_xact_lock(hashtext('mesher.events.partitions'));
        -- Whoever had the lock may have made it; to_regclass would answer from a cache of the time before.
        CONTINUE WHEN EXISTS (
            SELECT FROM pg_class WHERE relname = partition AND relnamespace = 'public'::regnamespace
        );
        lower_bound := day::timestamp AT TIME ZONE 'UTC';
        upper_bound := (day + 1)::timestamp AT TIME ZONE 'UTC';
        -- Made apart and attached: CREATE … PARTITION OF would lock out readers and writers of the whole table.
        EXECUTE format('CREATE TABLE %I (LIKE events INCLUDING DEFAULTS INCLUDING STORAGE)', partition);
        EXECUTE format(
            'ALTER TABLE %I ADD CONSTRAINT %I CHECK (received_at >= %L AND received_at < %L)',
            partition, partition || '_received_at_check', lower_bound, upper_bound
        );
        EXECUTE format('CREATE UNIQUE INDEX %I ON %I (project_id, event_id)', partition || '_event_id_key', partition);
        EXECUTE format(
            'ALTER TABLE events ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', partition, lower_bound, upper_bound
        );
        EXECUTE format('ALTER TABLE %I DROP CONSTRAINT %I', partition, partition || '_received_at_check');
        made := made + 1;
    END LOOP;
    RETURN made;
END
$$;
COMMENT ON FUNCTION ensure_event_partitions IS
    'Makes the partitions of events that are missing from the first to the last UTC day; how many it made.';

-- Runs as the owner of the schema: nobody else may drop anything. Each call does one step, so that nothing is locked for
-- long; and it waits for a lock less long than anybody would wait behind it.
CREATE FUNCTION delete_expired_events(keep_from date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '1s'
AS $$
DECLARE
    partition text;
    deleted integer;
    rows_at_a_time CONSTANT integer := 1000;
BEGIN
    IF keep_from >= (now() AT TIME ZONE 'UTC')::date THEN
        RAISE EXCEPTION 'events of today and yesterday cannot expire: % is too late a day to keep from', keep_from;
    END IF;
    -- One replica at a time is enough.
    IF NOT pg_try_advisory_xact_lock(hashtext('mesher.events.retention')) THEN
        RETURN false;
    END IF;
    SELECT c.relname INTO partition
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'events'::regclass AND c.relname < 'events_' || to_char(keep_from, 'YYYYMMDD')
    ORDER BY c.relname LIMIT 1;
    IF partition IS NOT NULL THEN
        EXECUTE format('DROP TABLE %I', partition);
        RETURN true;
    END IF;
    DELETE FROM dead_letters WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM dead_letters WHERE received_at < keep_from::timestamp AT TIME ZONE 'UTC' LIMIT rows_at_a_time
    ));
    GET DIAGNOSTICS deleted = ROW_COUNT;
    IF deleted > 0 THEN
        RETURN true;
    END IF;
    -- An issue whose last event is gone. One that has an event again meanwhile is passed over: its row has changed.
    DELETE FROM issues WHERE last_seen_at < keep_from::timestamp AT TIME ZONE 'UTC' AND id = ANY (ARRAY(
        SELECT id FROM issues WHERE last_seen_at < keep_from::timestamp AT TIME ZONE 'UTC'
        LIMIT rows_at_a_time FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted > 0;
END
$$;
COMMENT ON FUNCTION delete_expired_events IS
    'Deletes some of what was received before a UTC day: a partition of events as a whole, or some dead letters, or some '
    'issues without an event since. Whether it did; there may be more.';

REVOKE ALL ON FUNCTION ensure_event_partitions, delete_expired_events FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_event_partitions, delete_expired_events TO mesher_writer;
GRANT INSERT ON events, dead_letters TO mesher_writer;
-- To count an event in its issue.
GRANT SELECT, INSERT ON issues TO mesher_writer;
GRANT UPDATE (title, level, event_count, first_seen_at, last_seen_at) ON issues TO mesher_writer;
-- To tell a retry, or an id sent twice, from a new event.
GRANT SELECT (project_id, event_id, received_at) ON events TO mesher_writer;
-- To tell a deleted project from a refused row.
GRANT SELECT (id) ON projects TO mesher_writer;
-- To delete a project's events by and by, before the project.
GRANT SELECT (project_id, received_at), DELETE ON events TO mesher_project;
GRANT SELECT (id, project_id), DELETE ON issues TO mesher_project;
GRANT SELECT ON events, issues TO mesher_issue;
