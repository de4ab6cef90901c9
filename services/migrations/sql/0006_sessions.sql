-- Sessions that can be listed, and that end when nobody uses them.
ALTER TABLE sessions
    ADD COLUMN id uuid NOT NULL DEFAULT gen_random_uuid() CONSTRAINT sessions_id_key UNIQUE,
    ADD COLUMN last_used_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN idle_timeout interval NOT NULL DEFAULT '7 days'
        CONSTRAINT sessions_idle_timeout_check CHECK (idle_timeout > interval '0'),
    ADD COLUMN idle_expires_at timestamptz NOT NULL DEFAULT now() + interval '7 days',
    ADD COLUMN client_address text,
    ADD COLUMN client_network text,
    ADD COLUMN user_agent text NOT NULL DEFAULT '';
CREATE INDEX sessions_idle_expires_at_idx ON sessions (idle_expires_at);
COMMENT ON COLUMN sessions.id IS 'What the session is called by those who may not know its token.';
COMMENT ON COLUMN sessions.last_used_at IS 'Kept to the minute: no write a call.';
COMMENT ON COLUMN sessions.idle_timeout IS 'For how long it may be unused; as it was configured when it began.';
COMMENT ON COLUMN sessions.idle_expires_at IS 'When it ends unless it is used: last_used_at and idle_timeout.';
COMMENT ON COLUMN sessions.client_address IS 'Where it was begun from; null where that is not known.';
COMMENT ON COLUMN sessions.client_network IS
    'The same, of an IPv6 address only the network: whoever has one address of it has all.';
COMMENT ON COLUMN sessions.user_agent IS 'What the client that it was begun by calls itself.';

-- Whatever its case, and however its characters are encoded: full-width letters, ligatures and the like are the same. Accounts
-- of before that differ in nothing else stay apart, each with a variant of its own; there are no new ones.
ALTER TABLE users ADD COLUMN email_variant integer NOT NULL DEFAULT 0;
UPDATE users u SET email_variant = twins.n
FROM (
    SELECT id, row_number() OVER (PARTITION BY lower(normalize(email, NFKC)) ORDER BY created_at, id) - 1 AS n
    FROM users
) AS twins
WHERE twins.id = u.id AND twins.n > 0;
DROP INDEX users_email_key;
CREATE UNIQUE INDEX users_email_key ON users (lower(normalize(email, NFKC)), email_variant);
COMMENT ON COLUMN users.email IS
    'As the user wrote it; unique whatever its case, and whichever of several encodings its characters have.';
COMMENT ON COLUMN users.email_variant IS
    'Tells accounts apart whose addresses differ in the encoding of their characters alone; 0 but for those of long ago.';

CREATE TABLE login_failures (
    subject bytea CONSTRAINT login_failures_pkey PRIMARY KEY
        CONSTRAINT login_failures_subject_check CHECK (length(subject) = 32),
    failures integer NOT NULL,
    last_failed_at timestamptz NOT NULL
);
CREATE INDEX login_failures_last_failed_at_idx ON login_failures (last_failed_at);
COMMENT ON TABLE login_failures IS 'Sign-ins that failed, so that whoever guesses passwords is slowed.';
COMMENT ON COLUMN login_failures.subject IS
    'A SHA-256 of what is counted for: an e-mail address, whether or not it is a user''s; a client''s address; or both.';
COMMENT ON COLUMN login_failures.failures IS 'How many there were, those included whose outcome is not known yet.';

CREATE TABLE login_networks (
    user_id uuid CONSTRAINT login_networks_user_id_fkey REFERENCES users ON DELETE CASCADE,
    network text,
    last_login_at timestamptz NOT NULL,
    CONSTRAINT login_networks_pkey PRIMARY KEY (user_id, network)
);
CREATE INDEX login_networks_last_login_at_idx ON login_networks (last_login_at);
COMMENT ON TABLE login_networks IS
    'Where accounts were signed in from of late: there, failures elsewhere keep nobody waiting.';
COMMENT ON COLUMN login_networks.network IS 'As sessions.client_network.';

-- As before, and it notes that the session is used: at most once a minute, and never waiting for another call that does.
CREATE OR REPLACE FUNCTION session_access(token_sha256 bytea, resource text, resource_id uuid)
RETURNS TABLE (user_id uuid, org_id uuid, role org_role)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    session sessions%ROWTYPE;
BEGIN
    SELECT s.* INTO session FROM sessions s
    WHERE s.token_sha256 = session_access.token_sha256 AND s.expires_at > now() AND s.idle_expires_at > now();
    IF NOT FOUND THEN
        RETURN;
    END IF;
    -- A server that is read-only for now still answers.
    IF session.last_used_at < now() - least(interval '1 minute', session.idle_timeout / 10)
        AND current_setting('transaction_read_only') = 'off'
    THEN
        UPDATE sessions s SET last_used_at = now(), idle_expires_at = now() + s.idle_timeout
        WHERE s.token_sha256 = (
            SELECT t.token_sha256 FROM sessions t WHERE t.token_sha256 = session.token_sha256
            FOR NO KEY UPDATE SKIP LOCKED
        );
    END IF;
    RETURN QUERY
    SELECT session.user_id, m.org_id, m.role
    FROM (VALUES (1)) AS one_row
    LEFT JOIN org_members m ON m.user_id = session.user_id AND m.org_id = CASE resource
        WHEN 'organization' THEN resource_id
        WHEN 'project' THEN (SELECT p.org_id FROM projects p WHERE p.id = resource_id)
        WHEN 'api key' THEN (
            SELECT p.org_id FROM api_keys k JOIN projects p ON p.id = k.project_id WHERE k.id = resource_id
        )
    END;
END
$$;

GRANT UPDATE (password_hash) ON users TO mesher_user;
GRANT SELECT, INSERT, UPDATE, DELETE ON login_failures, login_networks TO mesher_user;
