-- Who changed what. It refers to nothing: it outlives what it tells of.
CREATE TABLE audit_events (
    id uuid CONSTRAINT audit_events_pkey PRIMARY KEY,
    created_at timestamptz NOT NULL,
    org_id uuid,
    user_id uuid,
    method text NOT NULL,
    resource_kind text NOT NULL,
    resource_id uuid NOT NULL,
    details jsonb NOT NULL CONSTRAINT audit_events_details_check CHECK (jsonb_typeof(details) = 'object'),
    client_address text,
    user_agent text NOT NULL,
    request_id text NOT NULL
);
CREATE INDEX audit_events_org_id_created_at_idx ON audit_events (org_id, created_at, id);
CREATE INDEX audit_events_created_at_idx ON audit_events (created_at);
COMMENT ON TABLE audit_events IS
    'Who did what to what, when and from where. Services add to it and change nothing; what is old enough is deleted by '
    'delete_old_audit_events.';
COMMENT ON COLUMN audit_events.org_id IS
    'The organization that it was done in; null for what users do with their own accounts.';
COMMENT ON COLUMN audit_events.user_id IS 'Who did it.';
COMMENT ON COLUMN audit_events.method IS 'The full name of the RPC that did it.';
COMMENT ON COLUMN audit_events.details IS 'What it was changed to: texts by the names of fields. Never a secret.';
COMMENT ON COLUMN audit_events.request_id IS 'As it is in the log.';

-- Not even the owner changes what is written, unless by taking this trigger away first.
CREATE FUNCTION refuse_audit_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'audit events are not changed' USING ERRCODE = 'insufficient_privilege';
END
$$;
COMMENT ON FUNCTION refuse_audit_change IS 'Keeps audit events as they were written.';
CREATE TRIGGER audit_events_unchanged BEFORE UPDATE ON audit_events
    FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();

-- With the rights of the owner, so that a service which was taken over still cannot take away what it did of late.
CREATE FUNCTION delete_old_audit_events(keep_days integer, most integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    deleted bigint;
BEGIN
    IF keep_days IS NULL OR keep_days < 30 THEN
        RAISE EXCEPTION 'audit events are kept for 30 days at the least' USING ERRCODE = 'insufficient_privilege';
    END IF;
    DELETE FROM audit_events WHERE id IN (
        SELECT id FROM audit_events WHERE created_at < now() - make_interval(days => keep_days)
        ORDER BY created_at LIMIT most
    );
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted;
END
$$;
COMMENT ON FUNCTION delete_old_audit_events IS
    'Deletes audit events that are older than so many days, 30 at the least; the oldest first, and so many at the most. How '
    'many it deleted.';
REVOKE ALL ON FUNCTION delete_old_audit_events FROM PUBLIC;
GRANT EXECUTE ON FUNCTION delete_old_audit_events TO mesher_user;

GRANT INSERT ON audit_events TO mesher_org, mesher_project;
GRANT SELECT, INSERT ON audit_events TO mesher_user;
