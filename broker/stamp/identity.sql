-- pgsignet.identity(): who the client of this session is, proven by its broker; NULL without proof.
-- For row-level security: USING (owner = (SELECT pgsignet.identity())). Run by a superuser, once in
-- each database; running it again replaces the function and keeps the keys.
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;

-- Nobody may have been here first: who owns the schema could replace the function, and who is a member
-- of the role could read the keys.
DO $$
DECLARE
  intruder text;
BEGIN
  SELECT n.nspowner::pg_catalog.regrole::text INTO intruder
    FROM pg_catalog.pg_namespace AS n JOIN pg_catalog.pg_roles AS r ON r.oid = n.nspowner
    WHERE n.nspname = 'pgsignet' AND NOT r.rolsuper;
  IF FOUND THEN
    RAISE EXCEPTION 'schema pgsignet belongs to %: drop it, or rename it', intruder;
  END IF;
  SELECT m.member::pg_catalog.regrole::text INTO intruder
    FROM pg_catalog.pg_auth_members AS m JOIN pg_catalog.pg_roles AS r ON r.oid = m.roleid
    WHERE r.rolname = 'pgsignet_identity' LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION '% is a member of pgsignet_identity: revoke that', intruder;
  END IF;
  IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'pgsignet_identity' AND (rolcanlogin OR rolsuper)) THEN
    RAISE EXCEPTION 'role pgsignet_identity may log in: that is not ours, drop it';
  END IF;
END
$$;

-- The owner of the keys and of the function that reads them. Nobody logs in as it or is a member.
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'pgsignet_identity') THEN
    CREATE ROLE pgsignet_identity NOLOGIN NOINHERIT;
  END IF;
END
$$;

CREATE SCHEMA IF NOT EXISTS pgsignet;
REVOKE ALL ON SCHEMA pgsignet FROM PUBLIC;
GRANT USAGE ON SCHEMA pgsignet TO PUBLIC;
GRANT USAGE ON SCHEMA pgsignet TO pgsignet_identity;

-- Each key as HMAC's two padded blocks: with these, sha256() is all that the check needs. Delete a
-- row to end every token that was signed with it.
CREATE TABLE IF NOT EXISTS pgsignet.identity_key (
  kid       text PRIMARY KEY,
  inner_key bytea NOT NULL CHECK (length(inner_key) = 64),
  outer_key bytea NOT NULL CHECK (length(outer_key) = 64),
  added     timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE pgsignet.identity_key OWNER TO pgsignet_identity;
REVOKE ALL ON TABLE pgsignet.identity_key FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgsignet.identity() RETURNS text
  LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL RESTRICTED
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  token text := current_setting('pgsignet.token', true);
  part  text[];
  claim text;
  mac   bytea;
BEGIN
  -- v1.kid.backend_pid.exp.hex(role).hex(identity).hex(HMAC-SHA256)
  IF token IS NULL OR token !~ '^v1[.][0-9a-f]{8}[.][0-9]{1,10}[.][0-9]{1,12}[.]([0-9a-f]{2})+[.]([0-9a-f]{2})+[.][0-9a-f]{64}$' THEN
    RETURN NULL;
  END IF;
  part  := string_to_array(token, '.');
  claim := left(token, -65);
  SELECT sha256(k.outer_key || sha256(k.inner_key || convert_to(claim, 'UTF8')))
    INTO mac FROM pgsignet.identity_key AS k WHERE k.kid = part[2];
  IF mac IS NULL OR mac <> decode(part[7], 'hex')
    OR part[3]::bigint <> pg_backend_pid()
    OR part[4]::bigint <= extract(epoch FROM now())
    OR decode(part[5], 'hex') <> convert_to(session_user::text, 'UTF8')
  THEN
    RETURN NULL;
  END IF;
  RETURN convert_from(decode(part[6], 'hex'), 'UTF8');
END
$$;
ALTER FUNCTION pgsignet.identity() OWNER TO pgsignet_identity;
REVOKE ALL ON FUNCTION pgsignet.identity() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pgsignet.identity() TO PUBLIC;

COMMIT;
