-- What a service may learn about credentials without being able to read them: these functions run as the owner of
-- the schema, and answer only to whoever already holds the secret.

CREATE FUNCTION session_access(token_sha256 bytea, resource text, resource_id uuid)
RETURNS TABLE (user_id uuid, org_id uuid, role org_role)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    SELECT s.user_id, m.org_id, m.role
    FROM sessions s
    LEFT JOIN org_members m ON m.user_id = s.user_id AND m.org_id = CASE resource
        WHEN 'organization' THEN resource_id
        WHEN 'project' THEN (SELECT p.org_id FROM projects p WHERE p.id = resource_id)
        WHEN 'api key' THEN (
            SELECT p.org_id FROM api_keys k JOIN projects p ON p.id = k.project_id WHERE k.id = resource_id
        )
    END
    WHERE s.token_sha256 = session_access.token_sha256 AND s.expires_at > now()
$$;
COMMENT ON FUNCTION session_access IS
    'The user of a valid session, and the role in the organization that the resource belongs to (null for none). '
    'No row when the session is not valid.';

CREATE FUNCTION resolve_api_keys(key_sha256s bytea[])
RETURNS TABLE ("position" integer, project_id uuid, project_number bigint, revoked boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    SELECT asked.n::integer, p.id, p.number, k.revoked_at IS NOT NULL
    FROM unnest(key_sha256s) WITH ORDINALITY AS asked (key_sha256, n)
    JOIN api_keys k ON k.key_sha256 = asked.key_sha256
    JOIN projects p ON p.id = k.project_id
$$;
COMMENT ON FUNCTION resolve_api_keys IS
    'The projects that API keys belong to, with their numbers in DSNs, and the keys'' places in the array. No row for a key that there is not.';

REVOKE ALL ON FUNCTION session_access, resolve_api_keys FROM PUBLIC;
GRANT EXECUTE ON FUNCTION session_access
    TO mesher_org, mesher_project, mesher_user, mesher_writer, mesher_issue;
GRANT EXECUTE ON FUNCTION resolve_api_keys TO mesher_project, mesher_writer;
