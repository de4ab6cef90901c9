ALTER TABLE projects
    ADD COLUMN rate_limit_events integer,
    ADD COLUMN rate_limit_seconds integer,
    ADD CONSTRAINT projects_rate_limit_check CHECK (
        (rate_limit_events IS NULL) = (rate_limit_seconds IS NULL) AND rate_limit_events > 0 AND rate_limit_seconds > 0
    );
COMMENT ON COLUMN projects.rate_limit_events IS
    'How many events are taken in at once, and in each period; null where the writers'' own limit holds.';
COMMENT ON COLUMN projects.rate_limit_seconds IS 'The period of rate_limit_events.';

ALTER TABLE api_keys
    ADD COLUMN rate_limit_events integer,
    ADD COLUMN rate_limit_seconds integer,
    ADD CONSTRAINT api_keys_rate_limit_check CHECK (
        (rate_limit_events IS NULL) = (rate_limit_seconds IS NULL) AND rate_limit_events > 0 AND rate_limit_seconds > 0
    );
COMMENT ON COLUMN api_keys.rate_limit_events IS
    'How many events are taken in with it at once, and in each period; null where the writers'' own limit holds.';
COMMENT ON COLUMN api_keys.rate_limit_seconds IS 'The period of rate_limit_events.';

GRANT UPDATE (rate_limit_events, rate_limit_seconds) ON projects TO mesher_project;
GRANT UPDATE (name, rate_limit_events, rate_limit_seconds) ON api_keys TO mesher_project;

-- The same function with more columns, which it cannot be given as it is. Whoever asks for the ones that it had gets them.
DROP FUNCTION resolve_api_keys;
CREATE FUNCTION resolve_api_keys(key_sha256s bytea[])
RETURNS TABLE (
    "position" integer, project_id uuid, project_number bigint, revoked boolean,
    project_limit_events integer, project_limit_seconds integer, key_limit_events integer, key_limit_seconds integer
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    SELECT asked.n::integer, p.id, p.number, k.revoked_at IS NOT NULL,
        p.rate_limit_events, p.rate_limit_seconds, k.rate_limit_events, k.rate_limit_seconds
    FROM unnest(key_sha256s) WITH ORDINALITY AS asked (key_sha256, n)
    JOIN api_keys k ON k.key_sha256 = asked.key_sha256
    JOIN projects p ON p.id = k.project_id
$$;
COMMENT ON FUNCTION resolve_api_keys IS
    'The projects that API keys belong to, with their numbers in DSNs, the rate limits of project and key, and the keys'' '
    'places in the array. No row for a key that there is not.';
REVOKE ALL ON FUNCTION resolve_api_keys FROM PUBLIC;
GRANT EXECUTE ON FUNCTION resolve_api_keys TO mesher_project, mesher_writer;
