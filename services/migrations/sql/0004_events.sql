CREATE TYPE event_level AS ENUM ('debug', 'info', 'warning', 'error', 'fatal');
COMMENT ON TYPE event_level IS 'How bad the matter is that an event tells of.';

CREATE TABLE events (
    project_id uuid NOT NULL CONSTRAINT events_project_id_fkey REFERENCES projects ON DELETE CASCADE,
    event_id uuid NOT NULL,
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
    payload bytea NOT NULL
) PARTITION BY RANGE (received_at);
-- Already compressed: PostgreSQL need not try again.
ALTER TABLE events ALTER COLUMN payload SET STORAGE EXTERNAL;
CREATE INDEX events_project_id_received_at_idx ON events (project_id, received_at, event_id);
COMMENT ON TABLE events IS
    'Error events, partitioned by the UTC day they were received on. What is filtered or listed by is a column.';
COMMENT ON COLUMN events.event_id IS
    'The sender''s id, or a UUIDv7 made at admission; unique for the project within a partition.';
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

REVOKE ALL ON FUNCTION ensure_event_partitions FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_event_partitions TO mesher_writer;
GRANT INSERT ON events, dead_letters TO mesher_writer;
-- To tell a retry, or an id sent twice, from a new event.
GRANT SELECT (project_id, event_id, received_at) ON events TO mesher_writer;
-- To tell a deleted project from a refused row.
GRANT SELECT (id) ON projects TO mesher_writer;
-- To delete a project's events by and by, before the project.
GRANT SELECT (project_id, received_at), DELETE ON events TO mesher_project;
GRANT SELECT ON events TO mesher_issue;
