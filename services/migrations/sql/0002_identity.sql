CREATE TABLE users (
    id uuid CONSTRAINT users_pkey PRIMARY KEY,
    email text NOT NULL,
    name text NOT NULL,
    password_hash text NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX users_email_key ON users (lower(email));
COMMENT ON TABLE users IS 'People who can sign in.';
COMMENT ON COLUMN users.email IS 'As the user wrote it; unique whatever its case.';
COMMENT ON COLUMN users.password_hash IS 'A PHC string: argon2id with its parameters and salt.';

CREATE TABLE sessions (
    token_sha256 bytea CONSTRAINT sessions_pkey PRIMARY KEY
        CONSTRAINT sessions_token_sha256_check CHECK (length(token_sha256) = 32),
    user_id uuid NOT NULL CONSTRAINT sessions_user_id_fkey REFERENCES users ON DELETE CASCADE,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX sessions_user_id_idx ON sessions (user_id);
CREATE INDEX sessions_expires_at_idx ON sessions (expires_at);
COMMENT ON TABLE sessions IS 'Who is signed in.';
COMMENT ON COLUMN sessions.token_sha256 IS 'The SHA-256 of the 32 random bytes of the token; the token is not kept.';

CREATE TABLE orgs (
    id uuid CONSTRAINT orgs_pkey PRIMARY KEY,
    name text NOT NULL,
    slug text NOT NULL CONSTRAINT orgs_slug_key UNIQUE,
    created_at timestamptz NOT NULL
);
COMMENT ON TABLE orgs IS 'Organizations: whoever owns projects together.';

CREATE TYPE org_role AS ENUM ('member', 'admin', 'owner');
COMMENT ON TYPE org_role IS 'What a member may do; each may do what the ones before it may.';

CREATE TABLE org_members (
    org_id uuid NOT NULL CONSTRAINT org_members_org_id_fkey REFERENCES orgs ON DELETE CASCADE,
    user_id uuid NOT NULL CONSTRAINT org_members_user_id_fkey REFERENCES users ON DELETE CASCADE,
    role org_role NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT org_members_pkey PRIMARY KEY (org_id, user_id)
);
CREATE INDEX org_members_user_id_idx ON org_members (user_id);
COMMENT ON TABLE org_members IS 'Who belongs to which organization, and as what.';

CREATE TABLE projects (
    id uuid CONSTRAINT projects_pkey PRIMARY KEY,
    org_id uuid NOT NULL CONSTRAINT projects_org_id_fkey REFERENCES orgs ON DELETE CASCADE,
    number bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT projects_number_key UNIQUE,
    name text NOT NULL,
    slug text NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT projects_org_id_slug_key UNIQUE (org_id, slug)
);
COMMENT ON TABLE projects IS 'What an application''s events belong to.';
COMMENT ON COLUMN projects.number IS 'The id in Sentry DSNs: SDKs only take integers there.';

CREATE TABLE api_keys (
    id uuid CONSTRAINT api_keys_pkey PRIMARY KEY,
    project_id uuid NOT NULL CONSTRAINT api_keys_project_id_fkey REFERENCES projects ON DELETE CASCADE,
    name text NOT NULL,
    prefix text NOT NULL,
    key_sha256 bytea NOT NULL CONSTRAINT api_keys_key_sha256_key UNIQUE
        CONSTRAINT api_keys_key_sha256_check CHECK (length(key_sha256) = 32),
    created_at timestamptz NOT NULL,
    revoked_at timestamptz
);
CREATE INDEX api_keys_project_id_idx ON api_keys (project_id);
COMMENT ON TABLE api_keys IS 'The keys that applications send events with.';
COMMENT ON COLUMN api_keys.prefix IS 'The first characters of the key, to recognise it by.';
COMMENT ON COLUMN api_keys.key_sha256 IS 'The SHA-256 of the whole key; the key is not kept.';
COMMENT ON COLUMN api_keys.revoked_at IS 'Since when the key is refused; null while it is valid.';

GRANT SELECT, INSERT ON orgs, org_members TO mesher_org;
GRANT SELECT, INSERT, DELETE ON projects TO mesher_project;
GRANT UPDATE (name, slug) ON projects TO mesher_project;
GRANT SELECT, INSERT ON api_keys TO mesher_project;
GRANT UPDATE (revoked_at) ON api_keys TO mesher_project;
GRANT SELECT, INSERT ON users TO mesher_user;
GRANT SELECT, INSERT, DELETE ON sessions TO mesher_user;
GRANT SELECT, INSERT, UPDATE, DELETE ON org_members TO mesher_user;
