-- As before, but that it does not wait long for the lock that an ATTACH takes of issues, on account of the foreign key. Every
-- flush counts its events there, and waits behind whoever waits for that lock: a VACUUM of issues held all writers up.
CREATE OR REPLACE FUNCTION ensure_event_partitions(first_day date, last_day date) RETURNS integer
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
        -- Longer than the second after which an autovacuum gives way, and less long than a flush waits.
        PERFORM set_config('lock_timeout', '1500ms', true);
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
