-- Prints the middle of core/sql/builtin_functions.c: PostgreSQL's own functions that a statement
-- may call and yet run on a replica. Run it on a fresh database of the newest version known:
--   psql -XAtqf tests/support/builtin_functions.sql
-- A function is left out if one of its overloads is VOLATILE and not known to be harmless, if it
-- tells or acts on the node, the session or its transaction, if it runs SQL that it is given as
-- text, or if SQL cannot call it.
WITH harmless (name) AS (
    VALUES ('amvalidate'), ('clock_timestamp'), ('current_query'), ('gen_random_uuid'),
           ('lo_get'), ('pg_database_size'), ('pg_get_wal_resource_managers'),
           ('pg_indexes_size'), ('pg_partition_ancestors'), ('pg_partition_tree'),
           ('pg_relation_size'), ('pg_sleep'), ('pg_sleep_for'), ('pg_sleep_until'),
           ('pg_table_size'), ('pg_tablespace_size'), ('pg_total_relation_size'), ('random'),
           ('timeofday')
), left_out (pattern) AS (
    VALUES ('^pg_stat_'), ('^pg_event_trigger_'), ('_to_xml(schema|_and_xmlschema)?$'),
           ('^(txid_current|pg_current_xact|pg_current_snapshot)'),
           ('^inet_(client|server)_'), ('^pg_(backend_pid|conf_load_time|postmaster_start_time)$'),
           ('^pg_(config|cursor|prepared_statement|listening_channels|show_all_settings)$'),
           ('^pg_(available_extension|extension_update|get_replication_slots)'),
           ('^pg_tablespace_(location|databases)$'), ('^pg_control_'), ('^ts_(stat|rewrite)$'),
           ('^binary_upgrade_'), ('^pg_walfile_name'), ('^fmgr_')
), callable AS (
    SELECT proname::text AS name, prokind,
           bool_or(provolatile = 'v') AS volatile
    FROM pg_proc p
    WHERE pronamespace = 'pg_catalog'::regnamespace
      AND NOT EXISTS (
          SELECT FROM pg_type t
          WHERE t.oid = ANY (p.proargtypes::oid[] || p.prorettype)
            AND t.typname IN ('internal', 'trigger', 'event_trigger', 'cstring',
                              'language_handler', 'fdw_handler', 'index_am_handler',
                              'table_am_handler', 'tsm_handler'))
    GROUP BY 1, 2
), safe AS (
    SELECT name
    FROM callable
    GROUP BY 1
    HAVING (NOT bool_or(volatile) OR name IN (SELECT h.name FROM harmless h))
       AND NOT EXISTS (SELECT FROM left_out WHERE name ~ pattern)
), line AS (
    SELECT name, sum(length(name) + 1) OVER (ORDER BY name COLLATE "C") / 84 AS number
    FROM safe
)
SELECT E'\t" ' || string_agg(name, ' ' ORDER BY name COLLATE "C") || '"'
FROM line
GROUP BY number
ORDER BY number;
