#!/bin/sh
# The image runs this once, for an empty database: the role of fedsim, which owns its database and nothing else.
set -eu
psql --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" <<'SQL'
\getenv password FEDSIM_PASSWORD
CREATE ROLE fedsim LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'password';
ALTER DATABASE fedsim OWNER TO fedsim;
ALTER SCHEMA public OWNER TO fedsim;
REVOKE ALL ON DATABASE fedsim FROM PUBLIC;
SQL
