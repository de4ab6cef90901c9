-- One login role a service, without a password: whoever runs Mesher sets one, or lets the services connect as the
-- owner of the schema and switch to their role. Roles belong to the whole server, so they may be there already.
DO $$
DECLARE
    service text;
BEGIN
    FOREACH service IN ARRAY ARRAY['mesher_org', 'mesher_project', 'mesher_user', 'mesher_writer', 'mesher_issue'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I LOGIN', service);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
        -- Whoever migrates may switch to the role; a superuser may anyway.
        BEGIN
            EXECUTE format('GRANT %I TO CURRENT_USER', service);
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE NOTICE 'cannot grant % to %: services need a login of their own', service, CURRENT_USER;
        END;
    END LOOP;
END
$$;

GRANT USAGE ON SCHEMA public TO mesher_org, mesher_project, mesher_user, mesher_writer, mesher_issue;
-- A service reads the schema's version at its start, and refuses one that it does not know.
GRANT SELECT ON _sqlx_migrations TO mesher_org, mesher_project, mesher_user, mesher_writer, mesher_issue;
