ALTER TABLE api_keys
    ADD COLUMN expires_at timestamptz,
    ADD COLUMN last_used_at timestamptz;
COMMENT ON COLUMN api_keys.expires_at IS 'Since when the key is refused by itself; null if it does not expire.';
COMMENT ON COLUMN api_keys.last_used_at IS 'When it was last used, to some ten minutes; null if it never was.';

-- As before, but a key that has expired is as one that was revoked, and it notes that keys are used: of each once in ten
-- minutes, and never waiting for another call that does. It says as well after how many seconds a key will expire, so that
-- whoever remembers the answer knows, by whatever clock it has.
DROP FUNCTION resolve_api_keys;
CREATE FUNCTION resolve_api_keys(key_sha256s bytea[])
RETURNS TABLE (
    "position" integer, project_id uuid, project_number bigint, revoked boolean, expires_in double precision,
    project_limit_events integer, project_limit_seconds integer, key_limit_events integer, key_limit_seconds integer
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    -- A server that is read-only for now still answers.
    IF current_setting('transaction_read_only') = 'off' THEN
        UPDATE api_keys k SET last_used_at = now()
        WHERE k.id IN (
            SELECT u.id FROM api_keys u
            WHERE u.key_sha256 = ANY (key_sha256s)
                AND u.revoked_at IS NULL AND (u.expires_at IS NULL OR u.expires_at > now())
                AND (u.last_used_at IS NULL OR u.last_used_at < now() - interval '10 minutes')
            FOR NO KEY UPDATE SKIP LOCKED
        );
    END IF;
    RETURN QUERY
    SELECT asked.n::integer, p.id, p.number,
        k.revoked_at IS NOT NULL OR (k.expires_at IS NOT NULL AND k.expires_at <= now()),
        extract(epoch FROM k.expires_at - now())::double precision,
        p.rate_limit_events, p.rate_limit_seconds, k.rate_limit_events, k.rate_limit_seconds
    FROM unnest(key_sha256s) WITH ORDINALITY AS asked (key_sha256, n)
    JOIN api_keys k ON k.key_sha256 = asked.key_sha256
    JOIN projects p ON p.id = k.project_id;
END
$$;
COMMENT ON FUNCTION resolve_api_keys IS
    'The projects that API keys belong to, with their numbers in DSNs, the rate limits of project and key, and the keys'' '
    'places in the array. No row for a key that there is not.';
REVOKE ALL ON FUNCTION resolve_api_keys FROM PUBLIC;
GRANT EXECUTE ON FUNCTION resolve_api_keys TO mesher_project, mesher_writer;
