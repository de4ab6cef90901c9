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
COMMENT ON TABLE audit_events IS
    'Who did what to what, when and from where. Services add to it and change nothing; the owner of the schema deletes '
    'what is old enough.';
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

GRANT INSERT ON audit_events TO mesher_org, mesher_project;
GRANT SELECT, INSERT ON audit_events TO mesher_user;
